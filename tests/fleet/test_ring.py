"""The ring drops the oldest, and of slot states first those that a newer one supersedes."""

import random

from meshd_core.contracts.events import FleetEvent, SlotData
from meshd_core.fleet.ring import EventRing
from meshd_core.testing.sinks import EventMaker

MAKER = EventMaker()


def filled(ring: EventRing, *events: FleetEvent) -> EventRing:
    for event in events:
        ring.put(event, 100)
    return ring


def test_events_come_out_in_order() -> None:
    events = [MAKER.heartbeat() for _ in range(10)]
    ring = filled(EventRing(100, 10_000), *events)
    assert [*ring.take(4, 10_000), *ring.take(100, 10_000)] == events
    assert (len(ring), ring.size_bytes, ring.dropped) == (0, 0, 0)


def test_a_full_ring_drops_the_oldest_and_counts() -> None:
    events = [MAKER.heartbeat() for _ in range(10)]
    ring = filled(EventRing(4, 10_000), *events)
    assert ring.dropped == 6
    assert ring.take(100, 10_000) == events[6:]


def test_a_superseded_state_is_dropped_before_anything_else() -> None:
    dialog, old, new, beat = MAKER.dialog(), MAKER.state(queue=1), MAKER.state(queue=2), MAKER.heartbeat()
    ring = filled(EventRing(3, 10_000), dialog, old, new, beat)
    assert ring.take(100, 10_000) == [dialog, new, beat]
    assert ring.dropped == 1


def test_bytes_bound_it_too_and_a_single_larger_event_is_kept() -> None:
    events = [MAKER.heartbeat() for _ in range(5)]
    ring = filled(EventRing(100, 250), *events)
    assert ring.take(100, 10_000) == events[3:]
    ring.put(events[0], 1_000_000)
    assert ring.take(10, 1) == [events[0]]


def test_a_batch_is_bounded_by_bytes() -> None:
    events = [MAKER.heartbeat() for _ in range(5)]
    ring = filled(EventRing(100, 10_000), *events)
    assert ring.take(100, 250) == events[:2]
    assert ring.take(100, 1) == [events[2]]


def test_smaller_bounds_drop_what_exceeds_them() -> None:
    events = [MAKER.heartbeat() for _ in range(5)]
    ring = filled(EventRing(100, 10_000), *events)
    ring.resize(2, 10_000)
    assert (ring.take(100, 10_000), ring.dropped) == (events[3:], 3)


def test_whatever_happens_order_holds_counts_add_up_and_the_newest_states_are_there() -> None:
    rng = random.Random(7)
    ring, put, taken = EventRing(20, 1_500), 0, []
    newest: dict[str, FleetEvent] = {}
    for _ in range(5000):
        if rng.random() < 0.9:
            slot = f"s{rng.randrange(5)}"
            event = MAKER.state(slot) if rng.random() < 0.8 else MAKER.dialog(slot=slot)
            if isinstance(event.data, SlotData):
                newest[slot] = event
            ring.put(event, rng.randrange(50, 120))
            put += 1
        else:
            taken += ring.take(rng.randrange(1, 30), 1_000)
        assert ring._superseded.__len__() <= len(ring) + 1
    taken += ring.take(1000, 100_000)
    assert [event.seq for event in taken] == sorted({event.seq for event in taken})
    assert len(taken) + ring.dropped == put
    assert all(event in taken for event in newest.values())
    assert (len(ring), ring.size_bytes) == (0, 0)
