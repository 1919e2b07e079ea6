"""What stands in an input box, and that a person's keys and a prompt do not get between one another."""

import asyncio
from typing import Any, cast

import pytest

from meshd_core.contracts.kinds import SubmitRecipe
from meshd_core.slots.input_box import InputBox
from meshd_core.slots.keyboard import Keyboard

pytestmark = pytest.mark.anyio
RECIPE = SubmitRecipe(input_box=r"^> ((?:(?!^> ).)*)\n--", input_noise=r"^Type here$", sees_drafts=True, clear="\x15")


def box(text: str, recipe: SubmitRecipe = RECIPE) -> InputBox:
    return InputBox(lambda: recipe, lambda: f"> an older one\n> {text}\n--")


async def test_a_text_in_the_box_is_a_draft_and_a_placeholder_is_none() -> None:
    assert await box("half a line").holds_draft()
    assert not await box("Type here").holds_draft()
    assert not await box("").holds_draft()


async def test_what_is_seen_for_a_moment_is_no_draft() -> None:
    shown = ["the prompt before", "the prompt before", ""]
    seen = InputBox(lambda: RECIPE, lambda: f"> {shown.pop(0) if len(shown) > 1 else shown[0]}\n--")
    assert not await seen.holds_draft()


async def test_a_box_that_a_long_draft_hides_counts_as_full() -> None:
    assert await InputBox(lambda: RECIPE, lambda: "rows\nand rows").holds_draft()
    blind = SubmitRecipe(input_box=RECIPE.input_box)
    assert not await InputBox(lambda: blind, lambda: "rows\nand rows").holds_draft()


def test_a_short_text_is_ours_only_if_nothing_else_stands_there() -> None:
    """Else one more Enter would take what a menu made of `/`."""
    assert box("on e\n  two").shows("on\u200be two")
    assert not box("/about").shows("/")
    assert box("x" * 100).shows("x" * 300)
    assert box("[Pasted text #1 +299 lines]").shows("row\n" * 300)
    assert not box("[Pasted text #1]").shows("1")


def test_a_pattern_that_matches_without_its_group_shows_no_box() -> None:
    assert box("one", SubmitRecipe(input_box=r"^> (two)?")).text() is None


async def test_a_box_holds_more_than_a_text_where_another_stands_beside_it() -> None:
    """Of long pastes only the labels are seen."""
    assert await box("one one").holds_more("one", "one")
    assert await box("one two").holds_more("one", "two")
    assert await box("[Pasted text #1 +9 lines][Pasted text #2 +9 lines]").holds_more("one", "row\n" * 300)


async def test_a_text_alone_is_no_more_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd_core.slots.input_box._DRAWN_S", 0.1)
    assert not await box("one two").holds_more("one", "one two")
    assert not await box("[Pasted text #1 +9 lines]").holds_more("one", "row\n" * 300)


class Parts:
    """A master that notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def write(self, data: bytes, timeout_s: float) -> None:
        self.written.append(data)


def keyboard(parts: Parts) -> Keyboard:
    nothing = cast(Any, None)
    return Keyboard(nothing, nothing, nothing, lambda: cast(Any, parts), nothing)


async def _press(keys: Keyboard) -> None:
    async with keys.keys():
        await keys.write(b"k", 1)


async def test_keys_wait_for_the_end_of_a_prompt() -> None:
    parts = Parts()
    board = keyboard(parts)
    async with board.prompt():
        await board.write(b"text", 1)
        pressing = asyncio.ensure_future(_press(board))
        await asyncio.sleep(0.05)
        await board.write(b"\r", 1)
        assert board.keys_written == 0
    await asyncio.wait_for(pressing, 10)
    assert parts.written == [b"text", b"\r", b"k"]


async def test_keys_do_not_wait_for_ever_and_the_prompt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd_core.slots.keyboard.KEYS_WAIT_S", 0.05)
    board = keyboard(Parts())
    async with board.prompt():
        await asyncio.wait_for(_press(board), 10)
        assert board.keys_written == 1
