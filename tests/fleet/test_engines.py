"""An engine is one task that is kept going, and cancelled at the end."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from meshd_core.contracts.daemon import Engine, EngineDaemon
from meshd_core.fleet.engines import Engines
from meshd_core.fleet.pace import Breaker, Pace

pytestmark = pytest.mark.anyio


class Scripted(Engine):
    """Each run does the next thing of `turns`, then works until cancelled."""

    name = "scripted"

    def __init__(self, *turns: Callable[[], Any]) -> None:
        self.turns = list(turns)
        self.views: list[EngineDaemon] = []
        self.working = asyncio.Event()
        self.cancelled = False

    async def run(self, daemon: EngineDaemon) -> None:
        self.views.append(daemon)
        if self.turns:
            self.turns.pop(0)()
            return
        self.working.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


def raises(error: BaseException) -> Callable[[], None]:
    def turn() -> None:
        raise error

    return turn


def engines(engine: Engine, blamed: list[Any], steady_s: float = 60.0) -> Engines:
    return Engines(
        {engine.name: engine}, lambda name: cast(EngineDaemon, f"view of {name}"),
        lambda name, error: blamed.append(error), Pace(first_s=0.001, longest_s=0.01, open_after=100), steady_s,
    )  # fmt: skip


async def test_an_engine_works_until_the_end_and_is_cancelled() -> None:
    engine, blamed = Scripted(), []
    async with engines(engine, blamed).running():
        await asyncio.wait_for(engine.working.wait(), 10)
        assert not engine.cancelled
    assert engine.cancelled and not blamed
    assert engine.views == ["view of scripted"]


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (raises(RuntimeError("no broker")), "no broker"),
        (raises(SystemExit(2)), "2"),
        (raises(asyncio.CancelledError()), "it cancelled itself"),
        (lambda: None, "it returned, instead of working until it is cancelled"),
    ],
)
async def test_an_engine_that_fails_is_blamed_and_started_again(turn: Callable[[], None], told: str) -> None:
    engine, blamed = Scripted(turn, turn), []
    async with engines(engine, blamed).running():
        await asyncio.wait_for(engine.working.wait(), 10)
    assert [str(error) for error in blamed] == [told, told]
    assert len(engine.views) == 3


async def test_an_engine_that_works_again_is_forgiven() -> None:
    engine, blamed = Scripted(raises(RuntimeError("x"))), []
    async with engines(engine, blamed, steady_s=0.01).running():
        async with asyncio.timeout(10):
            while None not in blamed:
                await asyncio.sleep(0.005)
    assert len(blamed) == 2


async def test_an_engine_that_does_not_end_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd_core.fleet.engines.END_S", 0.05)
    stop = asyncio.Event()

    class Deaf(Engine):
        name = "deaf"

        async def run(self, daemon: EngineDaemon) -> None:
            while not stop.is_set():
                try:
                    await stop.wait()
                except asyncio.CancelledError:
                    continue

    blamed: list[Any] = []
    async with engines(Deaf(), blamed).running():
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.sleep(0.05)


def test_a_breaker_counts_on_through_days_of_failures() -> None:
    breaker = Breaker(Pace(open_after=1_000_000))
    assert all(0 <= breaker.failed() <= 60 for _ in range(3000))
