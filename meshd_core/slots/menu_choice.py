"""Choosing an option of a menu as a person does: the cursor is moved until that option stands marked, then Enter.

What a number stands for, or what Enter takes, may have changed since the screen was read. So one key is pressed at a
time, what it did is awaited, and Enter is pressed only if this menu shows this option as the marked one.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from meshd_core.clock import monotonic
from meshd_core.contracts.kinds import MENU
from meshd_core.errors import DialogChanged, NotSupported
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.keyboard import Keyboard
from meshd_core.types import Dialog

MOVES_WITHIN_S = 10.0
"""How long the way to an option may take in all."""


class UnreadKey:
    """The key that was pressed in a menu last, until something came of it: an agent that is busy reads it later, and
    moves the mark right before the next key.
    """

    def __init__(self) -> None:
        self._at: tuple[str, str] | None = None

    def pressed(self, menu: Dialog) -> None:
        self._at = _place(menu)

    def waits_in(self, menu: Dialog) -> bool:
        """Whether it is still to be read in `menu`, which is what is seen now."""
        if self._at != _place(menu):
            self._at = None
        return self._at is not None


def _place(menu: Dialog) -> tuple[str, str]:
    """Where the mark stands, of a menu that has one. Another id is another menu, or one that scrolled."""
    return menu.id, next(option.label for option in menu.options if option.default)


class MenuChoice:
    """The option `label` of the menu whose words are `question`."""

    def __init__(
        self, slot: str, question: str, label: str, keyboard: Keyboard, tracker: ActivityTracker, unread: UnreadKey
    ) -> None:  # fmt: skip
        self._slot, self._question, self._label = slot, question, label
        self._keyboard, self._tracker, self._unread = keyboard, tracker, unread

    async def mark(
        self, press: Callable[[str], Awaitable[None]], look: Callable[[], None],
        wait: Callable[[Callable[[], bool], float], Awaitable[bool]],
    ) -> str:  # fmt: skip
        """Move the cursor to the option; the id of the dialog in which it stands marked then, ready for Enter.

        Raises DialogChanged if it is another menu by now, or a person pressed keys; NotSupported if no key gets there,
        or if a key is still to be read.
        """
        keys, deadline = self._keyboard.keys_written, monotonic() + MOVES_WITHIN_S
        look()
        menu, away = self._seen()
        while self._unread.waits_in(menu) or away:
            if self._unread.waits_in(menu):
                raise self._refused("has not read a key that was pressed in this menu")
            if monotonic() >= deadline:
                raise self._refused(f"takes too long to get to {self._label!r}")
            before = away
            self._unread.pressed(menu)
            await press("Down" if away > 0 else "Up")
            await wait(partial(self._came_of_it, before, keys), deadline - monotonic())
            look()
            if self._keyboard.keys_written != keys:
                raise DialogChanged(f"somebody pressed keys in the menu of {self._slot} meanwhile")
            menu, away = self._seen()
            if not self._unread.waits_in(menu) and abs(away) >= abs(before):
                raise self._refused(f"has a menu whose cursor does not get to {self._label!r}")
        return menu.id

    def _refused(self, reason: str) -> NotSupported:
        hint = f"'meshd attach {self._slot}' shows the menu; 'deny' closes it"
        return NotSupported(f"the agent of {self._slot} {reason}", hint=hint)

    def _came_of_it(self, before: int, keys: int) -> bool:
        """Whether there is something to see of a key that was pressed, or nothing to wait for any more."""
        found = self._found()
        moved = found is not None and found[1] != before
        return moved or self._keyboard.keys_written != keys or not self._keyboard.connected

    def _seen(self) -> tuple[Dialog, int]:
        if (found := self._found()) is None:
            raise DialogChanged(f"the menu of {self._slot} is not what it was", hint="read it, then answer it")
        return found

    def _found(self) -> tuple[Dialog, int] | None:
        """This menu as it is now, and how many rows the option is below the marked one; None: it isn't there."""
        menu = self._tracker.dialog
        if menu is None or menu.kind != MENU or menu.question != self._question:
            return None
        labels = [option.label for option in menu.options]
        marked = [number for number, option in enumerate(menu.options) if option.default]
        if labels.count(self._label) != 1 or len(marked) != 1:
            return None
        return menu, labels.index(self._label) - marked[0]
