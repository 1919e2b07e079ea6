"""What a sink gets: everything, in order, in batches, however its receiver behaves."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshd_core.contracts.events import FleetEvent, HeartbeatData, NodeData, SlotData
from meshd_core.contracts.secrets import SecretRef
from meshd_core.contracts.sinks import SinkBusy, SinkPaused, SinkRejected
from meshd_core.fleet import set_aside
from meshd_core.fleet.pace import Breaker, Pace
from meshd_core.testing.sinks import EventMaker, MemorySink
from tests.fleet.conftest import SECRET, section, types

pytestmark = pytest.mark.anyio
MAKER = EventMaker()
BEAT = MAKER.heartbeat().data
Run = Callable[..., Any]


async def test_a_sink_first_learns_of_the_node_and_the_state_of_every_slot(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink) as running:
        await running.until(lambda: len(sink.events) == 3)
        up, demo, other = sink.events
        assert isinstance(up.data, NodeData) and isinstance(demo.data, SlotData)
        assert (up.data.event, up.data.slots, up.data.urls) == ("up", ["demo", "other"], ["http://127.0.0.1:9451"])
        assert (demo.slot, other.slot, demo.data.status) == ("demo", "other", "running")
    down = sink.events[-1].data
    assert isinstance(down, NodeData) and down.event == "down"
    assert sink.closed == 1
    assert sink.contexts[0].node == "mac1" and sink.contexts[0].boot_id == up.boot_id


async def test_events_of_the_bus_come_in_order_and_once(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink) as running:
        for _ in range(1000):
            running.bus.publish(None, BEAT)
        await running.until(lambda: running.info().sent == 1003)
    seqs = [event.seq for event in sink.events]
    assert seqs == sorted(set(seqs))
    assert all(len(batch) <= 200 for batch in sink.batches)


async def test_a_batch_waits_for_more_until_it_is_full(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, section(batch_wait_s=3600, batch_events=10)) as running:
        for _ in range(17):
            running.bus.publish(None, BEAT)
        await running.until(lambda: len(sink.batches) == 2)
        assert [len(batch) for batch in sink.batches] == [10, 10]
        running.bus.publish(None, BEAT)
        await running.until(lambda: running.info().queued == 1)
    assert len(sink.batches[-1]) == 2, "the end sends what waits"


async def test_a_batch_is_sent_once_it_has_enough_bytes(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, section(batch_wait_s=3600, batch_bytes=1024)) as running:
        for _ in range(4):
            running.bus.publish("demo", MAKER.state().data)
        await running.until(lambda: sink.batches)


async def test_heartbeats_come_at_an_interval(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, heartbeat_s=0.01) as running:
        await running.until(lambda: types(sink.events).count("heartbeat") >= 3)
    beat = next(event.data for event in sink.events if isinstance(event.data, HeartbeatData))
    assert (beat.slots.total, beat.load) == (2, [0.5])


@pytest.mark.parametrize("error", [RuntimeError("x"), SinkBusy("x"), SinkBusy("x", 0.01), SystemExit(3)])
async def test_a_failed_batch_comes_again_with_the_same_ids(
    run_fleet: Run, sink: MemorySink, error: BaseException
) -> None:
    seen: list[list[str]] = []

    def fail_twice(batch: Sequence[FleetEvent]) -> BaseException | None:
        seen.append([event.id for event in batch])
        return error if len(seen) <= 2 else None

    sink.refuse = fail_twice
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().sent == 3)
        assert running.info().retries == 2
        assert (running.info().status, running.info().error) == ("ok", None)
    assert seen[0] == seen[1] == seen[2]


async def test_the_breaker_opens_and_tries_with_one_event(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: RuntimeError("down")
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().status == "open")
        assert running.info().error == "RuntimeError: down"
        for _ in range(50):
            running.bus.publish(None, BEAT)
        sink.refuse = lambda batch: None
        await running.until(lambda: running.info().sent == 53)
        assert running.info().status == "ok"
    assert [len(batch) for batch in sink.batches][:2] == [1, 2], "one event, then growing batches"


async def test_a_paused_sink_keeps_what_it_has_and_says_why(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: SinkPaused("the credential has expired")
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().status == "paused")
        running.bus.publish(None, BEAT)
        assert running.info().queued == 4
        assert running.info().error == "SinkPaused: the credential has expired"
        sink.refuse = lambda batch: None
        await running.until(lambda: running.info().sent == 4)


async def test_a_refused_event_is_found_and_set_aside_and_the_others_arrive(
    run_fleet: Run, sink: MemorySink, short_tmp: Path
) -> None:
    def refuse_dialogs(batch: Sequence[FleetEvent]) -> BaseException | None:
        return SinkRejected("no such column") if "dialog" in types(batch) else None

    sink.refuse = refuse_dialogs
    async with run_fleet(sink, section(batch_wait_s=0.05)) as running:
        for number in range(150):
            running.bus.publish("demo", (MAKER.dialog() if number in (17, 99) else MAKER.state()).data)
        await running.until(lambda: running.info().sent + running.info().rejected == 153)
        assert running.info().rejected == 2
    assert sink.sends < 60, "halves, not one by one"
    assert [event.seq for event in sink.events] == sorted(event.seq for event in sink.events)
    kept = [json.loads(line) for line in (short_tmp / "sinks" / "a" / "rejected.jsonl").read_text().splitlines()]
    assert [line["event"]["data"]["type"] for line in kept] == ["dialog", "dialog"]
    assert kept[0]["reason"] == "SinkRejected: no such column"


async def test_refused_events_are_kept_in_two_files_at_most(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside, "MAX_BYTES", 2000)
    aside = set_aside.SetAside(short_tmp)
    for _ in range(40):
        aside.add("a", MAKER.state(), "no such column")
    files = {path.name: path.stat() for path in short_tmp.iterdir()}
    assert files.keys() == {"rejected.jsonl", "rejected.jsonl.1"}
    assert all(found.st_size <= 2000 and found.st_mode & 0o777 == 0o600 for found in files.values())
    assert aside.count == 40


async def test_after_a_loss_the_receiver_gets_the_state_of_every_slot(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: RuntimeError("down")
    async with run_fleet(sink, section(queue_events=10)) as running:
        await running.until(lambda: running.info().status == "open")
        for _ in range(100):
            running.bus.publish(None, BEAT)
        assert running.info().dropped > 80
        running.state.names.append("new")
        sink.refuse = lambda batch: None
        await running.until(lambda: sink.events and [e.slot for e in sink.events[-3:]] == ["demo", "other", "new"])
    assert [event.seq for event in sink.events] == sorted(event.seq for event in sink.events)


async def test_no_secret_is_in_an_error(run_fleet: Run, sink: MemorySink, caplog: pytest.LogCaptureFixture) -> None:
    def leak(batch: Sequence[FleetEvent]) -> BaseException:
        secret = sink.contexts[0].read_secret(SecretRef(env="X"))
        return RuntimeError(("x" * 390) + f"https://user:{secret}@example.com")

    sink.refuse = leak
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().status == "open")
        assert SECRET[:5] not in str(running.info())
    assert SECRET not in caplog.text and caplog.text


async def test_two_sections_of_one_plugin_are_two_sinks(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, section("a"), section("b")) as running:
        await running.until(lambda: running.info("a").sent == running.info("b").sent == 3)
    assert sorted(context.name for context in sink.contexts) == ["a", "b"]
    assert sink.contexts[0].state_dir != sink.contexts[1].state_dir
    assert sink.contexts[0].state_dir.stat().st_mode & 0o777 == 0o700


# -- reload --


async def test_a_reload_leaves_an_unchanged_section_alone(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, section("a"), section("b")) as running:
        await running.until(lambda: len(sink.events) == 6)
        running.fleet.update([section("b"), section("a")])
        await running.until(lambda: len(sink.events) == 8)
        assert [info.name for info in running.fleet.infos()] == ["b", "a"]
        reloaded = sink.events[-1].data
        assert isinstance(reloaded, NodeData) and reloaded.event == "reloaded"
        assert (len(sink.contexts), sink.closed) == (2, 0)


async def test_a_changed_section_is_opened_anew_and_gets_what_waits(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: SinkPaused("wrong credential")
    async with run_fleet(sink, pace=Pace()) as running:
        await running.until(lambda: running.info().status == "paused")
        sink.refuse = lambda batch: None
        running.fleet.update([section(options="new")])
        await running.until(lambda: running.info().status == "ok" and running.info().queued == 0)
        assert [context.options for context in sink.contexts] == [None, "new"]
        assert sink.closed == 1
    assert types(sink.events)[:3] == ["node", "slot", "slot"], "what waited"
    assert types(sink.events)[3:6] == ["node", "slot", "slot"], "reloaded, and a snapshot for the new one"


async def test_a_reload_makes_a_paused_sink_try_at_once(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: SinkPaused("expired")
    async with run_fleet(sink, pace=Pace()) as running:
        await running.until(lambda: running.info().status == "paused")
        sink.refuse = lambda batch: None
        running.fleet.update([section()])
        await running.until(lambda: running.info().status == "ok")
        assert len(sink.contexts) == 1


async def test_a_removed_section_sends_what_waits_and_closes(run_fleet: Run, sink: MemorySink) -> None:
    async with run_fleet(sink, section("a", batch_wait_s=3600), section("b", batch_wait_s=3600)) as running:
        running.bus.publish(None, BEAT)
        running.fleet.update([section("b", batch_wait_s=3600)])
        await running.until(lambda: sink.closed == 1)
        assert [info.name for info in running.fleet.infos()] == ["b"]
        assert types(sink.events) == ["node", "heartbeat", "slot", "slot"]


# -- pauses --


def test_pauses_grow_with_jitter_up_to_their_longest() -> None:
    breaker = Breaker(Pace(open_after=100))
    pauses = [breaker.failed() for _ in range(60)]
    assert all(pause <= min(60, 2**n) for n, pause in enumerate(pauses))
    assert max(pauses) > 20 and len(set(pauses)) == 60


@pytest.mark.parametrize(("wish", "least", "most"), [(7.0, 7, 7), (1e9, 3600, 3600), (float("nan"), 0, 1), (-1, 0, 1)])
def test_the_wish_of_a_receiver_is_honoured_within_reason(wish: float, least: float, most: float) -> None:
    assert least <= Breaker(Pace()).failed(wish) <= most


async def test_nothing_is_tried_again_before_its_time(run_fleet: Run, sink: MemorySink) -> None:
    sink.refuse = lambda batch: SinkBusy("later", 3600)
    async with run_fleet(sink) as running:
        await running.until(lambda: running.info().status == "retrying")
        for _ in range(500):
            running.bus.publish(None, BEAT)
            await asyncio.sleep(0)
        assert sink.sends == 1
