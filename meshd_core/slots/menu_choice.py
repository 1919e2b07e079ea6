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
_MOVES_WITHIN_S = 1.0
"""How long the mark may take to move after a key."""


class MenuChoice:
    """The option `label` of the menu whose words are `question`."""

    def __init__(self, slot: str, question: str, label: str, keyboard: Keyboard, tracker: ActivityTracker) -> None:
        self._slot, self._question, self._label = slot, question, label
        self._keyboard, self._tracker = keyboard, tracker

    async def mark(
        self, press: Callable[[str], Awaitable[None]], look: Callable[[], None],
        wait: Callable[[Callable[[], bool], float], Awaitable[bool]],
    ) -> str:  # fmt: skip
        """Move the cursor to the option; the id of the dialog in which it stands marked then, ready for Enter.

        Raises DialogChanged if it is another menu by now, or a person pressed keys; NotSupported if no key gets there.
        """
        keys, deadline = self._keyboard.keys_written, monotonic() + MOVES_WITHIN_S
        direction: str | None = None
        look()
        menu, away = self._seen()
        while away:
            key = "Down" if away > 0 else "Up"
            if key != (direction or key) or monotonic() >= deadline:
                raise NotSupported(f"{self._slot}: the cursor does not stop at {self._label!r}")
            direction = key
            await press(key)
            moved = await wait(partial(self._is_other, away), _MOVES_WITHIN_S)
            look()
            if self._keyboard.keys_written != keys:
                raise DialogChanged(f"somebody pressed keys in the menu of {self._slot} meanwhile")
            menu, away = self._seen()
            if not moved:
                raise NotSupported(f"{self._slot}: the cursor does not move in this menu")
        return menu.id

    def _is_other(self, before: int) -> bool:
        found = self._found()
        return found is not None and found[1] != before

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
