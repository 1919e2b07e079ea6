"""Keys that wait for a prompt being typed are pressed only if what they were meant for is still on the screen."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from meshd_core.contracts.kinds import Keys, KindProfile, Observation, Rule
from meshd_core.errors import DialogChanged, InvalidField, NotSupported
from meshd_core.pty.master import Master
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.hands import Hands
from meshd_core.slots.keyboard import Keyboard
from meshd_core.types import DialogOption

pytestmark = pytest.mark.anyio

OPTIONS = (DialogOption("accept", "Yes"), DialogOption("deny", "No"))
PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="",
    rules=(
        Rule("ask", "waiting", r"run \$ (?P<command>.+)\n(Sure\?)", dialog="approval", options=OPTIONS),
        Rule(
            "choose", "waiting", r"^(Which\?)", dialog="approval", options=OPTIONS,
            option_pattern=r"^ (?P<key>\d)?\. (?P<label>.+)$",
        ),
        Rule("busy", "busy", r"^working"),
        Rule("idle", "idle", r"^> "),
    ),
)  # fmt: skip


class Bench:
    """Hands on a real terminal, whose screen is what the test says."""

    def __init__(self, keys: Keys) -> None:
        fd, self._program = os.openpty()
        tty.setraw(self._program)
        os.set_blocking(self._program, False)
        self._master = Master(fd, lambda *_: None, lambda: None)
        self.screen = ""
        self.interrupted: list[bytes] = []
        self.told: list[tuple[str, str]] = []
        self.takes_answers = False
        self.tracker = ActivityTracker(PROFILE, lambda: None)
        unused = cast(Any, None)
        self.keyboard = Keyboard(unused, unused, self.tracker, lambda: self._master, unused)
        self.hands = Hands(
            "x", keys, self.keyboard, self.tracker, look=self.look, wait=self._wait,
            interrupted=lambda: self.interrupted.append(self.typed()), typed=lambda: None, answered_itself=self._answer,
        )  # fmt: skip

    def look(self) -> None:
        self.tracker.look(self.screen, "")

    async def _wait(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        self.look()
        return reached()

    async def _answer(self, key: str, choice: str) -> bool:
        self.told.append((key, choice))
        return self.takes_answers

    def typed(self) -> bytes:
        """What the program got since the last time."""
        try:
            return os.read(self._program, 1000)
        except BlockingIOError:
            return b""

    async def while_a_prompt_is_typed(self, act: "asyncio.Task[Any]", then: str) -> None:
        """`act` waits for the prompt, at whose end the screen shows `then`."""
        async with self.keyboard.prompt():
            await asyncio.sleep(0)  # until it waits
            await asyncio.sleep(0)
            assert not act.done()
            self.screen = then
        await asyncio.wait({act}, timeout=5)

    def close(self) -> None:
        self._master.close()
        os.close(self._program)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(Keys(accept="y", deny="n", interrupt=("\x1b", "\x1b")))
    yield made
    made.close()


async def test_an_answer_that_waited_is_not_typed_into_the_dialog_that_is_open_by_then(bench: Bench) -> None:
    bench.screen = "run $ ls\nSure?"
    bench.look()
    assert bench.tracker.dialog is not None
    act = asyncio.create_task(bench.hands.answer(bench.tracker.dialog.id, "accept"))
    await bench.while_a_prompt_is_typed(act, "run $ rm -r x\nSure?")
    assert isinstance(act.exception(), DialogChanged)
    assert bench.typed() == b""


async def test_an_interrupt_that_waited_leaves_an_agent_alone_that_is_idle_by_then(bench: Bench) -> None:
    bench.screen = "working"
    act = asyncio.create_task(bench.hands.interrupt())
    await bench.while_a_prompt_is_typed(act, "> ")
    assert act.exception() is None
    assert (bench.typed(), bench.interrupted) == (b"", [])


async def test_a_turn_that_the_first_key_ended_gets_no_second(bench: Bench) -> None:
    bench.screen = "working"
    act = asyncio.create_task(bench.hands.interrupt())
    async with asyncio.timeout(5):
        while not (first := bench.typed()):
            await asyncio.sleep(0.005)
    bench.screen = "> "
    await act
    assert (first, bench.typed(), bench.interrupted) == (b"\x1b", b"", [b""])


def asks(bench: Bench) -> str:
    bench.tracker.observe(
        Observation("api", "log", "waiting", dialog_kind="approval", question="Sure?", command="ls", options=OPTIONS,
                    dialog_key="per_1")
    )  # fmt: skip
    assert bench.tracker.dialog is not None
    return bench.tracker.dialog.id


async def test_an_answer_goes_through_the_agents_own_channel_if_that_takes_it(bench: Bench) -> None:
    bench.takes_answers = True
    await bench.hands.answer(asks(bench), "accept")
    assert (bench.told, bench.typed()) == ([("per_1", "accept")], b"")
    bench.takes_answers = False
    await bench.hands.answer(asks(bench), "deny")
    assert (bench.told[-1], bench.typed()) == (("per_1", "deny"), b"n")


async def test_where_no_key_is_safe_and_the_channel_takes_no_answer_none_is_given(bench: Bench) -> None:
    bench.hands.keys = Keys(deny="n")
    with pytest.raises(NotSupported):
        await bench.hands.answer(asks(bench), "accept")
    assert bench.typed() == b""


CHOICES = "Which?\n 2. Yes\n 1. Always\n . Sometimes\n 3. No"


async def test_an_option_is_pressed_by_what_its_own_row_says_and_denying_is_not(bench: Bench) -> None:
    typed = {}
    for choice in ("accept", "option2", "deny"):
        bench.screen = CHOICES
        bench.look()
        assert bench.tracker.dialog is not None
        assert [one.id for one in bench.tracker.dialog.options] == ["accept", "option2", "option3", "deny"]
        act = asyncio.create_task(bench.hands.answer(bench.tracker.dialog.id, choice))
        await asyncio.wait({act}, timeout=5)
        typed[choice] = bench.typed()
        bench.screen = "> "
        bench.look()
    assert typed == {"accept": b"2", "option2": b"1", "deny": b"n"}


async def test_an_option_whose_row_names_no_key_and_one_that_is_not_there_are_not_pressed(bench: Bench) -> None:
    bench.screen = CHOICES
    bench.look()
    assert bench.tracker.dialog is not None
    with pytest.raises(NotSupported):
        await bench.hands.answer(bench.tracker.dialog.id, "option3")
    with pytest.raises(InvalidField):
        await bench.hands.answer(bench.tracker.dialog.id, "option7")
    assert bench.typed() == b""
