"""Whatever a sink does, the daemon's loop goes on, and so does every other sink."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from meshd_core.contracts.events import FleetEvent
from meshd_core.contracts.sinks import FleetSink, SinkConnection, SinkContext
from meshd_core.testing.sinks import EventMaker, MemorySink
from tests.fleet.conftest import section

pytestmark = pytest.mark.anyio
BEAT = EventMaker().heartbeat().data
Run = Callable[..., Any]


async def longest_turn(work: Callable[[], bool]) -> float:
    """The longest that the loop took for a turn while `work` was not done."""
    worst, deadline = 0.0, time.monotonic() + 20
    while not work():
        assert time.monotonic() < deadline
        start = time.monotonic()
        await asyncio.sleep(0.001)
        worst = max(worst, time.monotonic() - start)
    return worst


async def test_a_sink_that_blocks_its_thread_blocks_nothing_else(run_fleet: Run, sink: MemorySink) -> None:
    release = threading.Event()

    async def block(batch: Sequence[FleetEvent]) -> None:
        release.wait(30)

    sink.turns.append(block)
    try:
        async with run_fleet(sink, section(timeout_s=0.1), flush_s=0.2) as running:
            worst = await longest_turn(lambda: running.info().status == "failed")
            assert worst < 1.0
            assert running.info().error == "ThreadStuck: it blocks its thread"
            release.set()
            await running.until(lambda: running.info().status == "ok" and running.info().queued == 0)
    finally:
        release.set()


async def test_a_sink_that_blocks_in_open_does_not_hold_up_start_or_end(run_fleet: Run, sink: MemorySink) -> None:
    release = threading.Event()
    sink.opening = lambda: (release.wait(30), None)[1]
    begun = time.monotonic()
    try:
        async with run_fleet(sink, flush_s=0.2) as running:
            running.bus.publish(None, BEAT)
            await running.until(lambda: sink.contexts)
            assert running.info().queued == 2
        assert time.monotonic() - begun < 20
    finally:
        release.set()


async def test_a_sink_that_hangs_and_ignores_its_cancelling_is_shown(run_fleet: Run, sink: MemorySink) -> None:
    stop = threading.Event()

    async def ignore(batch: Sequence[FleetEvent]) -> None:
        while not stop.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    sink.turns.append(ignore)
    try:
        async with run_fleet(sink, section(timeout_s=0.05), flush_s=0.2) as running:
            await running.until(lambda: running.info().status == "failed")
            stop.set()
            await running.until(lambda: running.info().status == "ok")
    finally:
        stop.set()


async def test_a_hanging_send_is_timed_out_and_tried_again(run_fleet: Run, sink: MemorySink) -> None:
    async def hang(batch: Sequence[FleetEvent]) -> None:
        await asyncio.Event().wait()

    sink.turns += [hang, hang]
    async with run_fleet(sink, section(timeout_s=0.05)) as running:
        await running.until(lambda: running.info().sent == 3)
        assert running.info().retries == 2


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
async def test_what_only_the_interpreter_may_raise_is_a_failure_like_others(
    run_fleet: Run, sink: MemorySink, error: BaseException
) -> None:
    sink.turns += [error]
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().retries == 1)
        await running.until(lambda: running.info().sent == 3)


async def test_an_exit_in_a_task_of_the_sinks_own_ends_nobody(run_fleet: Run, sink: MemorySink) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leave() -> None:
        raise SystemExit(4)

    async def begin(batch: Sequence[FleetEvent]) -> None:
        tasks.append(asyncio.create_task(leave()))
        await asyncio.sleep(0.01)

    sink.turns += [begin]
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().sent == 3)
        assert isinstance(tasks[0].exception(), SystemExit)


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(1)])
async def test_a_sink_that_fails_to_open_is_tried_again(run_fleet: Run, sink: MemorySink, error: BaseException) -> None:
    def fail() -> None:
        raise error

    sink.opening = fail
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().status == "failed")
        running.bus.publish(None, BEAT)
        sink.opening = lambda: None
        await running.until(lambda: running.info().sent == 4)
        assert running.info().status == "ok"


async def test_an_open_that_gives_nothing_usable_is_a_failure(run_fleet: Run) -> None:
    class Wrong(FleetSink):
        name = "wrong"

        def open(self, context: SinkContext) -> SinkConnection:
            return None  # type: ignore[return-value]

    async with run_fleet(Wrong(), section(plugin="wrong")) as running:
        await running.until(lambda: running.info().status == "failed")
        assert running.info().error == "TypeError: open gave no SinkConnection but NoneType"


async def test_one_bad_sink_does_not_delay_another(run_fleet: Run, sink: MemorySink) -> None:
    release = threading.Event()

    class Half(MemorySink):
        def open(self, context: SinkContext) -> SinkConnection:
            if context.name == "bad":
                release.wait(30)
            return super().open(context)

    both = Half()
    try:
        async with run_fleet(both, section("bad"), section("good"), flush_s=0.2) as running:
            await running.until(lambda: running.info("good").sent == 3)
    finally:
        release.set()


async def test_a_section_without_its_plugin_says_so_and_comes_alive_after_a_reload(
    run_fleet: Run, sink: MemorySink
) -> None:
    async with run_fleet(sink, section(plugin="gone")) as running:
        await running.until(lambda: running.info().status == "failed")
        assert running.info().error == "sink 'gone' is not installed"
        running.fleet.update([section()])
        await running.until(lambda: running.info().status == "ok")


async def test_the_end_is_bounded_however_much_waits(run_fleet: Run, sink: MemorySink) -> None:
    async def slow(batch: Sequence[FleetEvent]) -> None:
        await asyncio.sleep(3600)

    sink.turns += [slow] * 100
    async with run_fleet(sink, flush_s=0.1) as running:
        await running.until(lambda: sink.sends)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert sink.closed == 1


async def test_close_may_fail(run_fleet: Run, sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    class Rude(SinkConnection):
        async def send(self, batch: Sequence[FleetEvent]) -> None:
            sink.batches.append(tuple(batch))

        async def close(self) -> None:
            raise RuntimeError("no")

    sink.open = lambda context: Rude()  # type: ignore[method-assign]
    async with run_fleet(sink) as running:
        await running.until(lambda: len(sink.events) == 3)
    assert "a sink did not close" in caplog.text
