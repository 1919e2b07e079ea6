"""An agent is made to draw its screen anew by its terminal's size, which is then the one that it is to have."""

import asyncio
import os
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshd_core.pty.master import Master, terminal_size
from meshd_core.slots.lifecycle import Lifecycle
from meshd_core.types import Size

pytestmark = pytest.mark.anyio
BEFORE, AFTER = Size(rows=40, cols=120), Size(rows=24, cols=80)


class Emulator:
    """What of a slot's output a change of size is about."""

    size = BEFORE

    def resize(self, size: Size) -> None:
        self.size = size


class Bench:
    """The life of an agent whose terminal is a real one; a keeper keeps it open."""

    def __init__(self) -> None:
        fd, self._program = os.openpty()
        self._keeper = os.dup(fd)
        unused = cast(Any, None)
        self.life = Lifecycle(
            cast(Any, SimpleNamespace(section=SimpleNamespace(name="x"))), unused,
            cast(Any, Emulator()), unused, extras=unused, on_start=unused, on_stop=unused, on_change=lambda: None,
            on_begin=unused, on_end=unused, spawn_task=unused,
        )  # fmt: skip
        self.life.master = self.master = Master(fd, lambda _: 0, lambda: None)
        self.master.resize(BEFORE.rows, BEFORE.cols)

    @property
    def size(self) -> Size | None:
        return terminal_size(self._keeper)

    async def begin(self) -> "asyncio.Task[None]":
        """Begin to draw anew; the terminal is a row short then."""
        drawing = asyncio.ensure_future(self.life.redraw())
        async with asyncio.timeout(5):
            while self.size == BEFORE:
                await asyncio.sleep(0)
        return drawing

    def close(self) -> None:
        self.master.close()
        os.close(self._keeper)
        os.close(self._program)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("meshd_core.slots.lifecycle._REDRAW_PAUSE_S", 0.5)
    made = Bench()
    yield made
    made.close()


async def test_the_size_is_as_before_after_a_redraw(bench: Bench) -> None:
    await (await bench.begin())
    assert bench.size == BEFORE


async def test_a_size_that_is_asked_for_meanwhile_stays(bench: Bench) -> None:
    drawing = await bench.begin()
    bench.life.resize(AFTER)
    await drawing
    assert bench.size == AFTER


@pytest.mark.parametrize("leave", [False, True], ids=["cancelled", "as the daemon ends"])
async def test_a_redraw_that_is_broken_off_leaves_no_row_short(bench: Bench, leave: bool) -> None:
    drawing = await bench.begin()
    if leave:
        bench.life.leave()
    drawing.cancel()
    await asyncio.wait({drawing}, timeout=5)
    assert drawing.cancelled()
    assert bench.size == BEFORE


async def test_a_terminal_that_cannot_be_resized_is_no_fault_of_the_one_who_asks(bench: Bench) -> None:
    with open(os.devnull, "rb") as other:
        bench.life.master = Master(other.fileno(), lambda _: 0, lambda: None)
        await bench.life.redraw()
        bench.life.master = None
