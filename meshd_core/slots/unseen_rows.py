"""Rows that an agent never drew, or drew over at once: asked of its own records, and told before those below them.

Lines that come after unseen rows wait for the answer, for `WAIT_S` at most; then a gap is told instead.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from meshd_core.slots.agent_channel import AgentChannel
from meshd_core.terminal.missed_rows import Unseen, missed_lines
from meshd_core.types import Message

log = logging.getLogger(__name__)

WAIT_S = 5.0
"""OpenCode's own API needs 0.01 s for an answer on an idle machine, and up to 3 s on one with a load of 10."""
DRAWN_OVER_WAIT_S = 1.0
"""For rows that may not have been meant to stay: of a screen that changes, records say nothing."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.5
"""Twice as long after each time: the records may be long."""
_SESSION_WITHIN_S = 60.0
"""An adoption takes in a long backlog before the agent's session is there to be asked."""
_MAX_LINES = 2000

Line = tuple[str, int]
"""A text, and the raw offset up to which it was made."""


class UnseenRows:
    """`open` says where to tell what; then `take` gets all lines of a slot that draws."""

    def __init__(
        self,
        slot: str,
        channel: AgentChannel,
        spawn_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._slot, self._channel, self._spawn_task = slot, channel, spawn_task
        self._held: list[Line] = []
        self._asking: asyncio.Task[None] | None = None

    def open(self, tell: Callable[[Sequence[Line], bool], None], lost: Callable[[], None]) -> None:
        """`tell` publishes lines, and is told whether none of the same bytes are to follow; `lost` says that rows are
        missing.
        """
        self._tell, self._lost = tell, lost

    @property
    def waiting(self) -> bool:
        """Whether lines wait for an answer."""
        return bool(self._held)

    def take(self, lines: Sequence[Line]) -> None:
        """Tell `lines`, at once or once it is known what was above them."""
        if not self._held:
            at = next((index for index, (text, _) in enumerate(lines) if isinstance(text, Unseen)), len(lines))
            self._tell(lines[:at], at == len(lines))
            lines = lines[at:]
        now = asyncio.get_running_loop().time()
        for text, _ in lines:
            if isinstance(text, Unseen):
                text.since = now
        self._held += lines
        if len(self._held) > _MAX_LINES:
            self.give_up()
        elif self._held and self._asking is None:
            self._asking = self._spawn_task(self._ask(), f"unseen rows {self._slot}")

    def give_up(self) -> None:
        """Tell what is held, and where something is missing."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._release_all()

    async def _ask(self) -> None:
        try:
            await self._answer_all()
        except Exception:
            log.exception("unseen rows could not be found out", extra={"slot": self._slot})
        self._asking = None
        self._release_all()

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._channel.opened.is_set():
            async with asyncio.timeout(_SESSION_WITHIN_S):
                await self._channel.opened.wait()
            for text, _ in self._held:
                if isinstance(text, Unseen):
                    text.since = loop.time()
        mark, pause = None, _PAUSE_S
        while self._held:
            if self._held[0][0] is not mark:
                mark, pause = self._held[0][0], _PAUSE_S
            assert isinstance(mark, Unseen)
            wait_s = DRAWN_OVER_WAIT_S if mark.drawn_over else WAIT_S
            left = wait_s if mark.since is None else mark.since + wait_s - loop.time()
            if left <= 0:
                self._release(None)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    conversation = await self._channel.messages()
                    if conversation is None:
                        return
                    rows = [text for text, _ in self._below()]
                    prompt, words = last_turn(conversation.messages)
                    missing = await asyncio.to_thread(missed_lines, words, prompt, mark, rows)
                    if missing is None:
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, _LONGEST_PAUSE_S)
                    else:
                        self._release(missing)

    def _below(self) -> list[Line]:
        """The lines that stand below the first unseen rows, up to the next ones."""
        after = self._held[1:]
        return after[: next((index for index, (text, _) in enumerate(after) if isinstance(text, Unseen)), len(after))]

    def _release_all(self) -> None:
        while self._held:
            self._release(None)

    def _release(self, missing: Sequence[str] | None) -> None:
        """Tell the first unseen rows, or that they are lost, and what stands below them."""
        (mark, at), below = self._held[0], self._below()
        assert isinstance(mark, Unseen)
        del self._held[: 1 + len(below)]
        if missing:
            moved = mark.fill(mark.at, missing)
            for other, _ in self._held:
                if isinstance(other, Unseen) and other.fill == mark.fill:
                    other.at += moved
        elif missing is None and mark.lost:
            self._lost()
        self._tell([*((text, at) for text in missing or ()), *below], not self._held)


def last_turn(messages: Sequence[Message]) -> tuple[str, str]:
    """The last prompt that the agent has answered to, and its texts since then, one below the other."""
    end = next((index for index in range(len(messages), 0, -1) if messages[index - 1].role == "agent"), 0)
    since = next((index for index in range(end, 0, -1) if messages[index - 1].role == "user"), 0)
    words = "\n".join(one.text for one in messages[since:end] if one.role == "agent" and one.tool is None)
    return (messages[since - 1].text if since else ""), words
