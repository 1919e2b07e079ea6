"""What an agent's own channels told while it was recorded, at the border between core and its kind's session.

`reports` writes it down, `RecordedKind` tells it again: a replay asks the agent's session as a slot does.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile

from meshd_core.contracts.kinds import AgentKind, AgentSession, Observation, Run
from meshd_core.testing.corpus.truth import RecordReport, Truth
from meshd_core.types import Conversation


def reports(conversations: Iterable[tuple[float, Conversation]]) -> Iterator[RecordReport]:
    """What each of `conversations`, which come with their times, has that the one before had not."""
    before = Conversation()
    for at, now in conversations:
        pairs = zip(before.messages, now.messages, strict=False)
        kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        yield RecordReport(at, kept, now.messages[kept:], now.source, now.warning)
        before = now


class RecordedKind(AgentKind):
    """The kind of a recorded run, whose session tells what its truth has, when it was told."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def session(self, run: Run) -> AgentSession:
        return _RecordedSession(self._truth)


class _RecordedSession(AgentSession):
    """Begins with the recording, by the clock of the event loop."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()

    async def watch(self, report: Callable[[Observation], None]) -> None:
        for one in self._truth.channel:
            await asyncio.sleep(self._begun + one.at - self._loop.time())
            report(one.observation)

    async def messages(self) -> Conversation | None:
        if not self._truth.records:
            return None
        found = Conversation()
        for one in self._truth.records:
            if self._begun + one.at > self._loop.time():
                break
            found = Conversation((*found.messages[: one.kept], *one.messages), one.source, one.warning)
        return found
