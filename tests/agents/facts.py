"""What is true of an agent by other facts than its kind's rules, and what was said of it meanwhile."""

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from meshd_core.testing.corpus.on_screen import compact
from meshd_core.testing.model_backend import Answered, Received
from meshd_core.types import Screen, SlotDetail

SLACK_S = 1.0
"""So long after a change what was said before may still be said."""
_LOOK_S = 0.1


class Said(NamedTuple):
    at: float
    state: str


class Truth(NamedTuple):
    """From `since` to `until` only these states were right; times as of `time.time()`."""

    since: float
    until: float
    states: tuple[str, ...]


class Watch:
    """Looks at the slot's state all the time, in a thread; a context manager."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.said: list[Said] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=20)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            slot = self._agent.daemon.get(f"/slots/{self._agent.name}", SlotDetail)
            self.said.append(Said(time.time(), slot.activity.state))

    def wrong(self, truths: Iterable[Truth]) -> list[str]:
        """What was said that was neither right nor `unknown`."""
        return [
            f"{one.state} for {'/'.join(truth.states)}, {one.at - truth.since:.1f} s after it became so"
            for truth in truths
            for one in self.said
            if truth.since + SLACK_S < one.at < truth.until and one.state not in (*truth.states, "unknown")
        ]


def shows(agent: Any, texts: Iterable[str]) -> bool:
    """Whether all of `texts` stand on the screen, spaces and line breaks apart."""
    screen = compact("".join(agent.daemon.get(f"/screen/{agent.name}", Screen).rows))
    return all(compact(text) in screen for text in texts)


def wait_shown(agent: Any, texts: Iterable[str], within_s: float, still_s: float = 0.0) -> float:
    """Wait until all of `texts` have stood on the screen for `still_s`; when that was."""
    wanted = tuple(texts)
    deadline = time.monotonic() + within_s
    since: float | None = None
    while since is None or time.time() - since < still_s:
        if not shows(agent, wanted):
            since = None
        elif since is None:
            since = time.time()
        rows = agent.daemon.get(f"/screen/{agent.name}", Screen).rows
        assert time.monotonic() < deadline, "\n".join(rows)
        time.sleep(0.05)
    return time.time()


def exchange(agent: Any, prompt: str) -> tuple[Received, Answered]:
    """The newest request of a turn with `prompt`, and the answer to it."""
    request: Received = next(
        one
        for one in reversed(agent.backend.received())
        if one.prompt == prompt and one.tools and one.tool_result is None
    )
    answered: Answered = next(one for one in agent.backend.answered() if one.answer_to == request.id)
    return request, answered
