"""Whether the agent took a prompt: the signs of it after Enter, which are only read here.

Work that begins after Enter is such a sign, or the box that holds our text no more, or the agent's own records, or an
answer below the prompt. A command of the agent's own may show none of them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from meshd_core.clock import monotonic
from meshd_core.contracts.kinds import KindProfile, Turn
from meshd_core.slots.input_box import InputBox
from meshd_core.slots.receipts import Entry
from meshd_core.slots.reply_lines import answered

_SIGN_POLL_S = 0.3
_REFUSAL_POLL_S = 0.1
_REFUSAL_S = 1.0
"""How long an agent that began to work on a command may take to say that it doesn't know it."""


class Watched(Protocol):
    """What is read of a slot."""

    def lines_after(self, n: int) -> list[str]: ...
    async def wait_worked(self, past: int, timeout_s: float) -> bool: ...


def is_command(text: str) -> bool:
    """Whether it begins a command of the agent's own; what only looks like one was made plain before."""
    return text.startswith("/")


async def nobody_knows(turn: Turn) -> None:
    """The records of a kind that keeps none."""


class Taken:
    """Of one terminal, by the profile that `profile()` gives; `finished` and `began` ask the agent's own records."""

    def __init__(
        self, terminal: Watched, box: InputBox, profile: Callable[[], KindProfile],
        finished: Callable[[Turn], Awaitable[bool | None]], began: Callable[[Turn], Awaitable[bool | None]],
    ) -> None:  # fmt: skip
        self._terminal, self._box, self._profile = terminal, box, profile
        self._finished, self._began = finished, began

    async def proven(self, entry: Entry, mark: int, within_s: float) -> bool:
        """Wait for a sign that it was taken, or for the whole turn, of which a short one shows none: in the agent's own
        records, or in its lines. `mark` is the count of work before Enter.
        """
        deadline = monotonic() + within_s
        while not await self._sign(entry, mark):
            finished = await self._finished(_turn(entry))
            if finished or (finished is None and self._answered(entry)):
                return True
            if monotonic() >= deadline:
                return False
        return True

    async def began_nothing(self, entry: Entry) -> bool:
        """Whether the sign of work after a command was of no turn, by the agent's own records."""
        if not is_command(entry.text):
            return False
        deadline = monotonic() + self._profile().submit.confirm_s
        while await self._began(_turn(entry)) is False:
            if monotonic() >= deadline:
                return True
            await asyncio.sleep(_SIGN_POLL_S)
        return False

    async def refusal(self, entry: Entry, wait_s: float = _REFUSAL_S) -> str | None:
        """The agent's words, if they come, that it doesn't know the command that `entry` begins with."""
        pattern = self._profile().submit.refusal
        if pattern is None or not is_command(entry.text):
            return None
        deadline = monotonic() + wait_s
        while True:
            said = re.search(pattern, "\n".join(self._terminal.lines_after(entry.line_mark)), re.MULTILINE)
            if said is not None:
                return said.group().strip()
            if monotonic() >= deadline:
                return None
            await asyncio.sleep(_REFUSAL_POLL_S)

    def gone(self, text: str) -> bool:
        """Whether `text`, which is no command of the agent's own, is out of its box: work may begin, however late."""
        return not is_command(text) and self.box_emptied()

    def box_emptied(self) -> bool:
        """Whether the box is seen empty after Enter."""
        return self._profile().submit.sees_drafts and self._box.text() == ""

    async def _sign(self, entry: Entry, mark: int) -> bool:
        """Whether work began. Of an agent at work: whether our text was seen in its box, and then the box empty."""
        if not entry.joined:
            return await self._terminal.wait_worked(mark, _SIGN_POLL_S)
        if "echoed" in entry.stages and self.gone(entry.text):
            return True
        await asyncio.sleep(_SIGN_POLL_S)
        return False

    def _answered(self, entry: Entry) -> bool:
        """Whether the box is empty again, and above it stands the prompt with an answer: pi works less than 60 ms on a
        short one.

        Of an agent at work nothing is proven by lines, which may be of the turn before.
        """
        if entry.joined or is_command(entry.text) or self._box.text() != "":
            return False
        lines = self._terminal.lines_after(entry.line_mark)
        return answered(lines, entry.text, self._profile().transcript.echo)


def _turn(entry: Entry) -> Turn:
    return Turn(prompt=entry.text, entered_at_ms=entry.entered_ms)
