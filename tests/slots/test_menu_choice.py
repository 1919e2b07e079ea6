"""An option of a menu is chosen by moving to it; Enter is pressed only while that option stands marked there."""

import asyncio
import os
import re
import tty
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from meshd_core.clock import monotonic
from meshd_core.contracts.kinds import MENU, Keys, KindProfile, Rule
from meshd_core.errors import DialogChanged, NotSupported
from meshd_core.pty.master import Master
from meshd_core.slots import menu_choice
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.hands import Hands
from meshd_core.slots.keyboard import Keyboard

pytestmark = pytest.mark.anyio

PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="",
    rules=(
        Rule("menu", "waiting", r"^(?P<options>Menu)[^\n]*\n(?:[^\n]*\n)+? esc back\s*\Z", override=True, dialog=MENU),
        Rule("idle", "idle", r"^> "),
    ),
)  # fmt: skip
DOWN = b"\x1b[B"
LABELS = ["red", "green", "blue", "black"]


class Menu:
    """A program with a menu on a real terminal, of which `window` rows are drawn."""

    def __init__(self, labels: list[str], window: int = 10) -> None:
        self.labels, self.window, self.title = labels, window, "Menu of colours"
        self.at = self.top = 0
        self.taken: str | None = None
        self.deaf = self.busy = False
        self.pressed = 0
        self.skips: set[int] = set()
        self.after_a_move: Callable[[], None] = lambda: None
        fd, self._program = os.openpty()
        tty.setraw(self._program)
        os.set_blocking(self._program, False)
        self._master = Master(fd, lambda *_: None, lambda: None)
        self.tracker = ActivityTracker(PROFILE, lambda: None)
        unused = cast(Any, None)
        output = cast(Any, type("Output", (), {"application_cursor": False}))
        self.keyboard = Keyboard(unused, output, self.tracker, lambda: self._master, unused)
        self.hands = Hands(
            "x", Keys(deny="\x1b"), self.keyboard, self.tracker, look=self.look, wait=self._wait,
            interrupted=lambda: None, typed=lambda: None, answered_itself=_no_answer,
        )  # fmt: skip

    def look(self) -> None:
        self.tracker.look(self._drawn(), "")

    def _drawn(self) -> str:
        if self.taken is not None:
            return "> "
        self.top = min(max(self.top, self.at - self.window + 1), self.at)
        shown = range(self.top, min(self.top + self.window, len(self.labels)))
        rows = [f"{'›' if n == self.at else ' '} {n + 1}. {self.labels[n]}" for n in shown]
        more = ["↑"] if self.top else []
        return "\n".join([self.title, "", *more, *rows, "↓" if shown[-1] + 1 < len(self.labels) else "", " esc back"])

    async def _wait(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        deadline = monotonic() + timeout_s
        while monotonic() < deadline:
            await asyncio.sleep(0.005)
            self.read()
            self.look()
            if reached():
                return True
        return False

    def read(self) -> None:
        if self.busy:
            return
        try:
            data = os.read(self._program, 100)
        except BlockingIOError:
            return
        for key in re.findall(rb"\x1b\[[AB]|\x1b|\r", data):
            self._key(key)

    def _key(self, key: bytes) -> None:
        self.pressed += 1
        if key == b"\r":
            self.taken = self.labels[self.at]
        elif key == b"\x1b":
            self.taken = ""
        elif not self.deaf:
            step = 1 if key == DOWN else -1
            self.at = (self.at + step) % len(self.labels)
            while self.at in self.skips:
                self.at = (self.at + step) % len(self.labels)
            self.after_a_move()

    async def choose(self, label: str) -> bool:
        self.look()
        dialog = self.tracker.dialog
        assert dialog is not None
        return await self.hands.answer(dialog.id, next(one.id for one in dialog.options if one.label == label))

    def close(self) -> None:
        self._master.close()
        os.close(self._program)


async def _no_answer(key: str, choice: str) -> bool:
    return False


@pytest.fixture
async def menu() -> AsyncIterator[Menu]:
    made = Menu(list(LABELS))
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(menu_choice, "MOVES_WITHIN_S", 0.5)


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("label", LABELS)
async def test_what_is_chosen_is_what_enter_takes(menu: Menu, start: int, label: str) -> None:
    menu.at = start
    assert await menu.choose(label)
    assert menu.taken == label


async def test_a_list_that_scrolls_meanwhile_is_still_that_menu(menu: Menu) -> None:
    menu.labels = [f"colour {number}" for number in range(9)]
    menu.window, menu.at, menu.top = 3, 3, 3
    menu.look()
    assert menu.tracker.dialog is not None
    assert [one.label for one in menu.tracker.dialog.options] == ["colour 3", "colour 4", "colour 5"]
    assert await menu.choose("colour 5")
    assert menu.taken == "colour 5"


async def test_denying_closes_it(menu: Menu) -> None:
    menu.look()
    assert menu.tracker.dialog is not None
    assert await menu.hands.answer(menu.tracker.dialog.id, "deny")
    assert menu.taken == ""


def reorder(menu: Menu) -> None:
    menu.labels.reverse()


def rename(menu: Menu) -> None:
    menu.labels[2] = "violet"


def replace(menu: Menu) -> None:
    menu.title = "Menu of what to delete"


def close(menu: Menu) -> None:
    menu.taken = "closed by itself"


def typed(menu: Menu) -> None:
    menu.keyboard.keys_written += 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("change", [rename, replace, close, typed])
async def test_nothing_is_taken_once_it_is_not_what_was_read(menu: Menu, change: Callable[[Menu], None]) -> None:
    menu.after_a_move = lambda: change(menu)
    with pytest.raises(DialogChanged):
        await menu.choose("blue")
    menu.read()
    assert menu.taken in (None, "closed by itself")


async def test_an_option_that_moved_is_followed_or_left(menu: Menu) -> None:
    menu.after_a_move = lambda: reorder(menu)
    with pytest.raises(NotSupported):
        await menu.choose("black")
    menu.read()
    assert menu.taken is None


@pytest.mark.usefixtures("impatient")
async def test_an_option_is_not_taken_if_no_key_moves_the_mark(menu: Menu) -> None:
    menu.deaf = True
    with pytest.raises(NotSupported):
        await menu.choose("blue")
    menu.read()
    assert menu.taken is None


@pytest.mark.parametrize(("label", "presses"), [("blue", 2), ("black", 3)])
async def test_a_row_at_which_the_mark_never_stops_is_not_taken_and_not_long_tried(
    menu: Menu, label: str, presses: int
) -> None:
    """As what stands right under a list and is no option: the list goes round and round."""
    menu.skips = {LABELS.index(label)}
    with pytest.raises(NotSupported):
        await menu.choose(label)
    menu.read()
    assert (menu.taken, menu.pressed) == (None, presses)


async def test_an_agent_that_is_busy_for_a_moment_is_waited_for(menu: Menu) -> None:
    menu.busy = True
    asyncio.get_running_loop().call_later(1.5, setattr, menu, "busy", False)
    assert await menu.choose("blue")
    assert menu.taken == "blue"


@pytest.mark.usefixtures("impatient")
async def test_no_enter_follows_a_key_that_is_still_to_be_read(menu: Menu) -> None:
    menu.busy = True
    for label in ("blue", "red", "green", "red"):
        with pytest.raises(NotSupported) as refused:
            await menu.choose(label)
        assert "meshd attach" in (refused.value.hint or "")
    menu.busy = False
    menu.read()
    assert (menu.pressed, menu.at, menu.taken) == (1, 1, None)
    assert await menu.choose("red")
    assert menu.taken == "red"


@pytest.mark.usefixtures("impatient")
async def test_a_menu_with_a_key_to_be_read_can_be_closed_and_is_another_one_then(menu: Menu) -> None:
    menu.busy = True
    with pytest.raises(NotSupported):
        await menu.choose("blue")
    asyncio.get_running_loop().call_later(0.1, setattr, menu, "busy", False)
    menu.look()
    assert menu.tracker.dialog is not None
    assert await menu.hands.answer(menu.tracker.dialog.id, "deny")
    menu.taken, menu.at = None, 0
    assert await menu.choose("red")
    assert menu.taken == "red"
