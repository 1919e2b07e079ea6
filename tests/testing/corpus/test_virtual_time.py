"""A loop whose clock jumps."""

import asyncio
import time

import pytest

from meshd_core.clock import monotonic
from meshd_core.testing.corpus.virtual_time import NothingLeft, run_in_virtual_time


def test_hours_pass_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def tick(name: str, every: float) -> None:
            while True:
                await asyncio.sleep(every)
                seen.append((name, monotonic()))

        ticks = [asyncio.create_task(tick("hour", 3600.0)), asyncio.create_task(tick("rest", 5000.0))]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10801):
                await asyncio.Event().wait()
        for task in ticks:
            task.cancel()
        return seen

    started = time.monotonic()
    assert run_in_virtual_time(main()) == [
        ("hour", 3600.0), ("rest", 5000.0), ("hour", 7200.0), ("rest", 10000.0), ("hour", 10800.0),
    ]  # fmt: skip
    assert time.monotonic() - started < 60
    assert monotonic() == pytest.approx(time.monotonic(), abs=60)


def test_no_time_passes_while_a_thread_would_work() -> None:
    async def main() -> float:
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(lambda: time.sleep(0.05) or "done") == "done"
        with pytest.raises(KeyError):
            await asyncio.to_thread({}.__getitem__, "x")
        return monotonic()

    assert run_in_virtual_time(main()) == 0.0


def test_what_will_never_come_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeft):
        run_in_virtual_time(main())
