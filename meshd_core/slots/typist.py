"""Typing one prompt: paste, settle, Enter, proof.

An Enter too many can approve a dialog, and one too few leaves a draft that glues itself to the next prompt. So each
step is recorded before it is done, the input box is emptied first, a person's keys wait from the first byte to the
proof, Enter waits until no dialog is open, and success is claimed only on proof.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from meshd_core.clock import monotonic, now_ms
from meshd_core.contracts.kinds import KindProfile, SubmitRecipe, Turn
from meshd_core.pty.errors import WriteError, WriteTimeout
from meshd_core.slots.input_box import InputBox
from meshd_core.slots.receipts import Draft, Entry
from meshd_core.slots.sanitize import PASTE_END, PASTE_START
from meshd_core.slots.taken import Taken, is_command, nobody_knows
from meshd_core.types import ReceiptError, Stage
from meshd_core.unseen import squeeze

WRITE_TIMEOUT_S = 10.0
"""How long the kernel may refuse bytes before the agent counts as not reading; it takes about 18 KB unread."""
_POLL_S = 0.02
_CLEARINGS = 10
_AFTER_CLEAR_S = 0.1
"""An Escape at the end must not be read as one with what follows."""
DRAFT_CLEARED = "draft_cleared"
_TAKEN_S = 30.0
"""How long an agent that took a prompt may take to begin: opencode's first one waits for its plugins."""
_KNOWN_BY = 40
"""Characters by which a text is known again."""


class TypingFailed(Exception):
    """The prompt was not taken, and nothing of it remains to be feared."""

    def __init__(self, error: ReceiptError) -> None:
        super().__init__(error.message)
        self.error = error


class TypingInDoubt(TypingFailed):
    """Part of the prompt is in the agent's input, or may have been taken: the queue must not go on typing over it."""


class NotNow(Exception):
    """Nothing was typed: a person's keys came first. The prompt stays in the queue."""


class DraftStands(Exception):
    """Nothing was typed: in the input box stands a text that keys don't remove, or no box is seen. The prompt stays in
    the queue.
    """


class Record(Protocol):
    """Stores that `entry` reached `stages`, on disk and for all to see. Raises Overloaded if the disk is full."""

    def __call__(self, entry: Entry, *stages: Stage) -> None: ...


class Terminal(Protocol):
    """What the typist needs of a slot."""

    unsent: bool

    @property
    def worked(self) -> int: ...
    @property
    def dialog_open(self) -> bool: ...
    @property
    def at_work(self) -> bool: ...
    @property
    def raw_head(self) -> int: ...
    @property
    def last_n(self) -> int: ...
    @property
    def bracketed_paste(self) -> bool: ...
    @property
    def keys_written(self) -> int: ...
    def prompt(self) -> AbstractAsyncContextManager[None]: ...
    def typed_text(self) -> str: ...
    def lines_after(self, n: int) -> list[str]: ...
    def screen_rows(self) -> list[str]: ...
    async def write(self, data: bytes, timeout_s: float) -> None: ...
    async def redraw(self) -> None: ...
    async def wait_worked(self, past: int, timeout_s: float) -> bool: ...


class Typist:
    """Types prompts into one terminal by the kind's recipe. `record(entry, *stages)` stores stages durably; `finished`
    and `began` ask the agent's own records.
    """

    def __init__(
        self, terminal: Terminal, profile: KindProfile, record: "Record",
        finished: Callable[[Turn], Awaitable[bool | None]],
        began: Callable[[Turn], Awaitable[bool | None]] = nobody_knows,
    ) -> None:  # fmt: skip
        self._terminal = terminal
        self.profile = profile
        """For the next prompt; what is being typed goes on by the one that it began with."""
        self._began_with: KindProfile | None = None
        self._record = record
        self._box = InputBox(lambda: self._recipe, terminal.typed_text)
        self._taken = Taken(terminal, self._box, lambda: self._profile, finished, began)
        self._unsent = False
        self._redrawn_for: str | None = None
        """The prompt for which the screen was drawn anew: once is enough."""
        self._astray = ""
        """The beginning of a text that was typed and never came into the box, without blanks: it may come late."""

    @property
    def _profile(self) -> KindProfile:
        return self._began_with or self.profile

    @property
    def _recipe(self) -> SubmitRecipe:
        return self._profile.submit

    async def type(self, entry: Entry, left: Draft | None = None) -> None:
        """Type `entry` as far as the kind can prove it; sets `capped` there. `left`: what may be of an earlier one.

        Raises TypingFailed, TypingInDoubt, and before anything is typed NotNow and DraftStands.
        """
        keys = self._terminal.keys_written
        try:
            async with self._terminal.prompt():
                self._began_with = self.profile
                await self._empty_box(entry, keys, left)
                self._require_no_keys(keys)
                mark = await self._enter(entry)
                # Until there is proof: opencode reads its box some time after Enter, and would take keys along.
                if entry.submit and not entry.capped:
                    await self._confirm(entry, mark)
        finally:
            self._began_with = None

    @property
    def obstacle(self) -> Literal["person", "input_unseen"] | None:
        """Why nothing can be typed for now: a draft stands in the input box, or no box is seen, so that one may."""
        if not self._box.draft:
            return None
        return "input_unseen" if self._box.text() is None else "person"

    async def clear_draft(self, paste_open: bool) -> bool:
        """Empty the input box of a kind whose box can't be seen; False if there is no key for that, or a dialog.

        Raises NotNow if a person's keys came first, TypingFailed.
        """
        keys = self._terminal.keys_written
        async with self._terminal.prompt():
            self._require_no_keys(keys)
            if self._recipe.clear is None or self._terminal.dialog_open:
                return False
            if paste_open:
                await self._close_paste()
            return await self._clear(self._recipe.clear)

    def _require_no_keys(self, since: int) -> None:
        """Raises NotNow if a person pressed keys since there were `since`: what they type must not be erased."""
        if self._terminal.keys_written != since:
            raise NotNow

    async def _empty_box(self, entry: Entry, keys: int, left: Draft | None) -> None:
        """Remove what a person or a failure left in the input box, and say so in the receipt."""
        self._require_no_keys(keys)
        unsent, self._unsent = self._unsent, False
        if left == "paste" and not self._terminal.dialog_open:
            await self._close_paste()
        if not self._recipe.sees_drafts:
            if unsent or self._terminal.unsent:
                await self._clear_unseen(entry)
            return
        if self._box.text() is None:
            await self._seen(entry)
        if unsent or left is not None:
            await self._box.fills()  # claude puts an interrupted prompt back some time after it is idle
        if not await self._box.holds_draft() or await self._cleared(entry, keys):
            return
        if not (await self._drawn_anew(entry) and await self._box.empties()):
            raise DraftStands

    async def _cleared(self, entry: Entry, keys: int) -> bool:
        """Press the keys that empty the box until it is seen empty; False if they don't do it."""
        for _ in range(_CLEARINGS):
            self._require_no_keys(keys)
            before = self._box.text()
            if self._recipe.clear is None or not await self._clear(self._recipe.clear):
                break
            if DRAFT_CLEARED not in entry.changes:
                entry.changes = (*entry.changes, DRAFT_CLEARED)
            if await self._box.empties():
                return True
            if before is not None and self._box.text() == before:
                break
        return not self._box.draft

    async def _seen(self, entry: Entry) -> bool:
        """Wait until the input box is on the screen, if need be on one that is drawn anew."""
        return await self._box.seen() or (await self._drawn_anew(entry) and await self._box.seen())

    async def _drawn_anew(self, entry: Entry) -> bool:
        """Make the agent draw its screen anew, once for a prompt: a program may have printed over it, as opencode's own
        runtime does with a warning. False if it was done before, or if a dialog is open.
        """
        if self._redrawn_for == entry.id or self._terminal.dialog_open:
            return False
        self._redrawn_for = entry.id
        await self._terminal.redraw()
        return True

    async def _clear_unseen(self, entry: Entry) -> None:
        """Empty a box that can't be read, if this kind has keys for that: a text may stand there."""
        cleared = self._recipe.clear is not None and await self._clear(self._recipe.clear)
        if cleared and DRAFT_CLEARED not in entry.changes:
            entry.changes = (*entry.changes, DRAFT_CLEARED)

    async def _close_paste(self) -> None:
        if self._bracketed():
            await self._write(PASTE_END.encode())
            await asyncio.sleep(_POLL_S)

    async def _clear(self, keys: str) -> bool:
        """Press the keys that empty the box; False if a dialog is open, which would take them."""
        if self._terminal.dialog_open:
            return False
        await self._write(keys.encode())
        await asyncio.sleep(_AFTER_CLEAR_S)
        return True

    async def _enter(self, entry: Entry) -> int:
        """Type the text and press Enter; the count of work seen before."""
        keys = self._terminal.keys_written
        entry.raw_mark = self._terminal.raw_head
        self._record(entry, "writing")
        await self._write(self._encode(entry.text), first=True)
        if not entry.submit:
            entry.cap()
            self._unsent = True
            self._record(entry, "written")
            return 0
        before_enter: tuple[Stage, ...] = ("written",)
        if self._recipe.settle_s:
            # Without a pause the two stages are one write to the disk: nothing happens between them.
            self._record(entry, "written")
            before_enter = ("echoed",) if await self._settle(entry.text) else ()
        seen = await self._seen(entry)
        elsewhere = "echoed" not in before_enter and await self._box.stays_empty()
        if self._terminal.dialog_open:
            raise TypingInDoubt(self._failure("dialog_opened", "a dialog opened before Enter; it was not pressed"))
        if not seen:
            raise TypingInDoubt(self._failure("box_not_seen", "no input box was seen; Enter was not pressed"))
        if elsewhere:
            self._astray = squeeze(entry.text)[:_KNOWN_BY]
            message = "the text did not come into the input box; Enter was not pressed"
            raise TypingInDoubt(self._failure("text_not_seen", message))
        if await self._is_glued(entry.text):
            message = "an earlier text came into the input box late, before this one; Enter was not pressed"
            raise TypingInDoubt(self._failure("text_not_seen", message))
        self._astray = ""
        if self._terminal.keys_written != keys:
            raise TypingInDoubt(self._failure("keys_between", "keys came between text and Enter; it was not pressed"))
        mark, entry.joined = self._terminal.worked, self._terminal.at_work
        entry.raw_mark = self._terminal.raw_head
        entry.line_mark = self._terminal.last_n
        entry.entered_ms = now_ms()
        if self._profile.proves == "written":
            entry.cap()  # before Enter, so that a crash right after it leaves no doubt to resolve
        self._record(entry, *before_enter, "entered")
        await self._write(self._recipe.enter.encode())
        self._terminal.unsent = False
        return mark

    async def _is_glued(self, text: str) -> bool:
        """Whether a text that was typed before comes into the box, where `text`, which may be the same, should stand
        alone: what is seen first of two equal ones may be the earlier.
        """
        return bool(self._astray) and await self._box.holds_more(self._astray, text)

    async def _confirm(self, entry: Entry, mark: int) -> None:
        keys = self._terminal.keys_written
        if await self._taken.proven(entry, mark, self._recipe.confirm_s):
            self._require_known(await self._taken.refusal(entry))
            if await self._taken.began_nothing(entry):
                entry.cap()
                self._record(entry)
                return
            self._record(entry, "submitted")
            return
        self._require_known(await self._taken.refusal(entry, wait_s=0))
        if entry.joined and not self._box.shows(entry.text):
            entry.cap()  # it may be queued, or part of the turn: nobody can tell
            self._record(entry)
            return
        if self._taken.gone(entry.text) and await self._taken.proven(entry, mark, _TAKEN_S):
            self._record(entry, "submitted")
            return
        if self._terminal.dialog_open:
            code = "menu_opened" if is_command(entry.text) else "not_confirmed"
            raise TypingInDoubt(self._failure(code, "a menu opened after Enter, and no work began"))
        if is_command(entry.text) and self._taken.box_emptied():
            entry.cap()  # it did what it does, or will: nothing shows which
            self._record(entry)
            return
        if self._recipe.second_enter and keys == self._terminal.keys_written and self._enter_is_safe(entry.text):
            entry.raw_mark = self._terminal.raw_head
            self._record(entry, "entered")
            await self._write(self._recipe.enter.encode())
            if await self._taken.proven(entry, mark, self._recipe.confirm_s):
                self._record(entry, "submitted")
                return
        if self._taken.gone(entry.text):
            raise TypingInDoubt(self._failure("no_sign_of_work", "the input box was emptied, but no work began"))
        raise TypingInDoubt(
            self._failure("not_confirmed", f"no sign of work within {self._recipe.confirm_s:g} s after Enter")
        )

    def _require_known(self, refusal: str | None) -> None:
        """Raises TypingInDoubt with the words of an agent that doesn't know a command."""
        if refusal is not None:
            raise TypingInDoubt(self._failure("command_unknown", refusal))

    def _enter_is_safe(self, text: str) -> bool:
        """Whether one more Enter can only submit `text`. A command may stand there again, in a menu of others."""
        return not is_command(text) and self._box.shows(text)

    async def _settle(self, text: str) -> bool:
        """Wait between text and Enter; True if the text was seen in the input box."""
        recipe = self._recipe
        if recipe.min_settle_s:
            await asyncio.sleep(recipe.min_settle_s)
        if recipe.input_box is None:
            await _pause(recipe.settle_s - recipe.min_settle_s)
            return False
        deadline = monotonic() + recipe.settle_s - recipe.min_settle_s
        while not self._box.shows(text):
            if monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

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
        except WriteError as error:
            failure = self._failure("terminal_lost", str(error))
            if isinstance(error, WriteTimeout):
                failure = self._failure("agent_not_reading", f"the agent took {error.written} of {len(data)} bytes")
            raise (TypingFailed if first and not error.written else TypingInDoubt)(failure) from error
        except OSError as error:
            raise TypingInDoubt(self._failure("terminal_lost", f"the terminal can't be written: {error}")) from error

    def _failure(self, code: str, message: str) -> ReceiptError:
        return ReceiptError(code=code, message=message, screen=tuple(self._terminal.screen_rows()))


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
