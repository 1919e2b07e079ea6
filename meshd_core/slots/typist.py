"""Typing one prompt: paste, settle, Enter, proof.

An Enter too many can approve a dialog, and one too few leaves a draft that glues itself to the next prompt. So each
step is recorded before it is done, Enter waits until no dialog is open, and success is claimed only on proof.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from meshd_core.clock import monotonic, now_ms
from meshd_core.contracts.kinds import KindProfile, SubmitRecipe, Turn
from meshd_core.pty.errors import WriteTimeout
from meshd_core.slots.receipts import Entry
from meshd_core.slots.sanitize import PASTE_END, PASTE_START
from meshd_core.types import ReceiptError, Stage

WRITE_TIMEOUT_S = 10.0
"""How long the kernel may refuse bytes before the agent counts as not reading; it takes about 18 KB unread."""
_POLL_S = 0.02
_FINISHED_POLL_S = 0.3


class TypingFailed(Exception):
    """The prompt was not taken, and nothing of it remains to be feared."""

    def __init__(self, error: ReceiptError) -> None:
        super().__init__(error.message)
        self.error = error


class TypingInDoubt(TypingFailed):
    """Part of the prompt is in the agent's input, or may have been taken: the queue must not go on typing over it."""


class Record(Protocol):
    """Stores that `entry` reached `stages`, on disk and for all to see. Raises Overloaded if the disk is full."""

    def __call__(self, entry: Entry, *stages: Stage) -> None: ...


class Terminal(Protocol):
    """What the typist needs of a slot."""

    @property
    def worked(self) -> int: ...
    @property
    def dialog_open(self) -> bool: ...
    @property
    def raw_head(self) -> int: ...
    @property
    def last_n(self) -> int: ...
    @property
    def bracketed_paste(self) -> bool: ...
    def screen_text(self) -> str: ...
    def screen_rows(self) -> list[str]: ...
    async def write(self, data: bytes, timeout_s: float) -> None: ...
    async def wait_worked(self, past: int, timeout_s: float) -> bool: ...


class Typist:
    """Types prompts into one terminal by the kind's recipe. `record(entry, *stages)` stores stages durably."""

    def __init__(
        self, terminal: Terminal, profile: KindProfile, record: "Record", finished: Callable[[Turn], Awaitable[bool]]
    ) -> None:
        self._terminal = terminal
        self._finished = finished
        self.profile = profile
        self._record = record

    @property
    def _recipe(self) -> SubmitRecipe:
        return self.profile.submit

    async def type(self, entry: Entry) -> None:
        """Type `entry` as far as the kind can prove it; sets `capped` there. Raises TypingFailed, TypingInDoubt."""
        entry.raw_mark = self._terminal.raw_head
        self._record(entry, "writing")
        await self._write(self._encode(entry.text), first=True)
        if not entry.submit:
            entry.cap()
            self._record(entry, "written")
            return
        before_enter: tuple[Stage, ...] = ("written",)
        if self._recipe.settle_s:
            # Without a pause the two stages are one write to the disk: nothing happens between them.
            self._record(entry, "written")
            before_enter = ("echoed",) if await self._settle(entry.text) else ()
        if self._terminal.dialog_open:
            raise TypingInDoubt(self._failure("dialog_opened", "a dialog opened before Enter; it was not pressed"))
        mark = self._terminal.worked
        entry.raw_mark = self._terminal.raw_head
        entry.line_mark = self._terminal.last_n
        entry.entered_ms = now_ms()
        if self.profile.proves == "written":
            entry.cap()  # before Enter, so that a crash right after it leaves no doubt to resolve
        self._record(entry, *before_enter, "entered")
        await self._write(self._recipe.enter.encode())
        if not entry.capped:
            await self._confirm(entry, mark)

    async def clear_draft(self, paste_open: bool) -> bool:
        """Close an open paste and empty the input box; False if this kind has no key for that."""
        if self._recipe.clear is None or self._terminal.dialog_open:
            return False
        if paste_open and self._bracketed():
            await self._write(PASTE_END.encode())
            await asyncio.sleep(_POLL_S)
        await self._write(self._recipe.clear.encode())
        return True

    async def _confirm(self, entry: Entry, mark: int) -> None:
        if await self._proven(entry, mark):
            self._record(entry, "submitted")
            return
        if self._recipe.second_enter and self._still_ours(entry.text) and not self._terminal.dialog_open:
            entry.raw_mark = self._terminal.raw_head
            self._record(entry, "entered")
            await self._write(self._recipe.enter.encode())
            if await self._proven(entry, mark):
                self._record(entry, "submitted")
                return
        raise TypingInDoubt(
            self._failure("not_confirmed", f"no sign of work within {self._recipe.confirm_s:g} s after Enter")
        )

    async def _proven(self, entry: Entry, mark: int) -> bool:
        """Wait for a sign of work, or for the agent's own record of the whole turn: a short one may show no sign."""
        deadline = monotonic() + self._recipe.confirm_s
        while not await self._terminal.wait_worked(mark, _FINISHED_POLL_S):
            if await self._finished(Turn(prompt=entry.text, entered_at_ms=entry.entered_ms)):
                return True
            if monotonic() >= deadline:
                return False
        return True

    async def _settle(self, text: str) -> bool:
        """Wait between text and Enter; True if the text was seen in the input box."""
        recipe = self._recipe
        if recipe.min_settle_s:
            await asyncio.sleep(recipe.min_settle_s)
        if recipe.input_box is None:
            await _pause(recipe.settle_s - recipe.min_settle_s)
            return False
        deadline = monotonic() + recipe.settle_s - recipe.min_settle_s
        while not self._still_ours(text):
            if monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _still_ours(self, text: str) -> bool:
        """Whether the input box shows our text: its beginning or its end, spaces apart (boxes wrap, pastes fold)."""
        if self._recipe.input_box is None:
            return False
        matches = list(re.finditer(self._recipe.input_box, self._terminal.screen_text(), re.MULTILINE | re.DOTALL))
        if not matches:
            return False
        shown = _squeeze(matches[-1].group(1))
        ours = _squeeze(text)
        return bool(shown) and bool(ours) and (ours[:40] in shown or ours[-40:] in shown or "[Pasted" in shown)

    def _bracketed(self) -> bool:
        return self._recipe.paste == "bracketed" or (self._recipe.paste == "auto" and self._terminal.bracketed_paste)

    def _encode(self, text: str) -> bytes:
        if self._bracketed():
            return f"{PASTE_START}{text}{PASTE_END}".encode()
        # Without a paste mode a newline is an Enter: each line would run by itself.
        return re.sub("\n+", " ", text.rstrip("\n")).encode()

    async def _write(self, data: bytes, *, first: bool = False) -> None:
        try:
            await self._terminal.write(data, WRITE_TIMEOUT_S)
        except WriteTimeout as error:
            failure = self._failure("agent_not_reading", f"the agent took {error.written} of {len(data)} bytes")
            raise (TypingFailed if first and not error.written else TypingInDoubt)(failure) from error
        except OSError as error:
            raise TypingInDoubt(self._failure("terminal_lost", f"the terminal can't be written: {error}")) from error

    def _failure(self, code: str, message: str) -> ReceiptError:
        return ReceiptError(code=code, message=message, screen=tuple(self._terminal.screen_rows()))


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _squeeze(text: str) -> str:
    return "".join(text.split())
