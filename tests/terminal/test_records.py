"""The record ring against a plain list."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.clock import base36
from meshd_core.terminal.journal_file import PAGE, JournalDamaged
from meshd_core.terminal.records import Kind, Record, RecordRing, format_id, parse_id
from meshd_core.terminal.ring import Ring

SIZE = 4096
SMALL = st.binary(max_size=120)
BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from([Kind.LINE, Kind.LINE, Kind.STATE, Kind.GAP, Kind.END]), SMALL), max_size=8),
    max_size=25,
)


class Memory:
    """A header and a ring in plain memory, which `reopen` reads as a new process would."""

    def __init__(self, size: int = SIZE) -> None:
        self.bytes = bytearray(size)
        self.header = bytearray(PAGE)

    def reopen(self) -> RecordRing:
        return RecordRing(Ring(memoryview(self.bytes)), memoryview(self.header).cast("Q"))


def record(kind: int, n: int, data: bytes, raw_end: int = 0, skip: int = 0) -> Record:
    return Record(kind, n, 1_700_000_000_000 + n, raw_end, skip, data)


def line(n: int, data: bytes = b"text") -> Record:
    return record(Kind.LINE, n, data, raw_end=n * 10)


def everything(ring: RecordRing) -> list[tuple[int, Record]]:
    found: list[tuple[int, Record]] = []
    at = ring.tail
    while at < ring.head:
        part = ring.read(at, max_bytes=300)
        assert part
        found += part
        at = part[-1][0]
    return found


def check(ring: RecordRing, model: Sequence[Record]) -> None:
    held = everything(ring)
    assert [item for _, item in held] == list(model[len(model) - len(held) :])
    ends = {ring.tail, *(end for end, _ in held)}
    assert {at for at in range(ring.tail - 50, ring.head + 50) if ring.valid(at)} == ends
    numbers = [item.n for _, item in held if item.kind == Kind.LINE]
    last_n = max((item.n for item in model if item.kind == Kind.LINE), default=0)
    assert (ring.first_n, ring.last_n) == (numbers[0] if numbers else last_n + 1, last_n)
    assert ring.dropped == sum(item.kind == Kind.LINE for item in model) - len(numbers)
    for count in (0, 1, 3, 1000):
        after = [item for end, item in held if end > ring.tail_lines(count)]
        assert sum(item.kind == Kind.LINE for item in after) == min(count, len(numbers))


@settings(max_examples=120, deadline=None)
@given(BATCHES)
def test_the_ring_holds_the_newest_records_of_a_list(batches: list[list[tuple[int, bytes]]]) -> None:
    memory = Memory()
    ring = memory.reopen()
    model: list[Record] = []
    n = 0
    for batch in batches:
        records = []
        for kind, data in batch:
            n += kind == Kind.LINE
            records.append(record(kind, n, data, raw_end=n * 7, skip=n % 3))
        ring.append(records)
        model += records
    check(ring, model)
    again = memory.reopen()
    check(again, model)
    assert (again.consumed, again.last_n, again.dropped) == (ring.consumed, ring.last_n, ring.dropped)
    assert sum(len(item.data) + 41 for _, item in everything(ring)) <= SIZE


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.integers(), st.integers(-10, 20_000)))
def test_no_number_breaks_valid(offset: int) -> None:
    ring = Memory().reopen()
    ring.append([line(n, b"\x25\0\0\0" * 20) for n in range(1, 200)])
    ends = {ring.tail, *(end for end, _ in everything(ring))}
    assert ring.valid(offset) == (offset in ends)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_garbage_is_no_id(text: str) -> None:
    parsed = parse_id(text)
    assert parsed is None or format_id(*parsed) == text


def test_an_id_is_the_epoch_and_the_offset() -> None:
    assert format_id(base36(1_700_000_000_000), 91823) == "loyw3v28-91823"
    assert parse_id("loyw3v28-91823") == ("loyw3v28", 91823)
    for wrong in ("", "-1", "a-", "a--1", "a-01", "A-1", "a-1 ", "a-1\n", "a-٣", "a-" + "9" * 30):
        assert parse_id(wrong) is None


def test_a_batch_larger_than_the_ring_leaves_the_newest() -> None:
    ring = Memory().reopen()
    model = [line(n, b"x" * 100) for n in range(1, 500)]
    ring.append(model)
    check(ring, model)


def test_a_record_that_is_too_large_is_refused_and_nothing_added() -> None:
    ring = Memory().reopen()
    ring.append([line(1, b"x" * ring.max_data)])
    head = ring.head
    with pytest.raises(ValueError, match="at most"):
        ring.append([line(2), line(3, b"x" * (ring.max_data + 1))])
    assert (ring.head, ring.last_n) == (head, 1)


def test_reading_stops_at_its_limits_and_gives_one_record_at_least() -> None:
    ring = Memory().reopen()
    ring.append([line(n, b"x" * 100) for n in range(1, 11)])
    assert [item.n for _, item in ring.read(ring.tail, limit=3)] == [1, 2, 3]
    assert [item.n for _, item in ring.read(ring.tail, max_bytes=300)] == [1, 2]
    assert [item.n for _, item in ring.read(ring.tail, max_bytes=1)] == [1]
    assert ring.read(ring.tail, limit=0) == []
    assert ring.read(ring.head) == []
    with pytest.raises(ValueError, match="not within"):
        ring.read(ring.head + 1)
    with pytest.raises(JournalDamaged):
        ring.read(ring.tail + 1)


def test_the_last_number_and_the_replay_point_outlive_their_line() -> None:
    memory = Memory()
    ring = memory.reopen()
    ring.append([record(Kind.LINE, 1, b"only", raw_end=77, skip=2)])
    ring.append([record(Kind.STATE, 1, b"s" * 100) for _ in range(100)])
    for each in (ring, memory.reopen()):
        assert (each.first_n, each.last_n, each.dropped, each.consumed) == (2, 1, 1, (77, 2))


def test_an_end_moves_the_replay_point_forward_only() -> None:
    ring = Memory().reopen()
    ring.append([record(Kind.LINE, 1, b"a", raw_end=50, skip=1), record(Kind.END, 1, b"", raw_end=0)])
    assert ring.consumed == (50, 1)
    ring.append([record(Kind.END, 1, b"", raw_end=60)])
    assert ring.consumed == (60, 0)
    ring.append([record(Kind.GAP, 1, b"", raw_end=90)])
    assert ring.consumed == (90, 0)


def test_the_newest_record_of_a_kind_is_found_while_it_is_held() -> None:
    ring = Memory().reopen()
    assert ring.newest(Kind.STATE) is None
    ring.append([record(Kind.STATE, 0, b"old"), record(Kind.STATE, 0, b"new"), line(1)])
    found = ring.newest(Kind.STATE)
    assert found is not None and found.data == b"new"
    ring.append([line(n, b"x" * 100) for n in range(2, 60)])
    assert ring.newest(Kind.STATE) is None


def test_a_batch_is_invisible_until_its_head_is_stored() -> None:
    memory = Memory()
    ring = memory.reopen()
    ring.append([line(n, b"x" * 60) for n in range(1, 30)])
    before = bytes(memory.header)
    ring.append([line(n, b"y" * 60) for n in range(30, 36)])
    tail_only = bytearray(before)
    tail_only[25 * 8 : 26 * 8] = memory.header[25 * 8 : 26 * 8]
    memory.header[:] = tail_only  # killed after the bytes, before the head
    killed = memory.reopen()
    assert killed.last_n == 29
    check_numbers = [item.n for _, item in everything(killed)]
    assert check_numbers == list(range(killed.first_n, 30))


def test_damage_is_found_when_the_ring_is_taken_over() -> None:
    for at in (0, 3, 5, 8, 60, 99, 120):
        memory = Memory()
        memory.reopen().append([line(n, b"x" * 60) for n in range(1, 20)])
        memory.bytes[at] ^= 0x41
        with pytest.raises(JournalDamaged):
            memory.reopen()
    memory = Memory()
    memory.header[24 * 8] = 99
    memory.header[25 * 8] = 100
    with pytest.raises(JournalDamaged):
        memory.reopen()
