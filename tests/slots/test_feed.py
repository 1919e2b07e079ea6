"""Resuming: whatever was published, wherever a reader stopped, it gets the rest once and in order, or a gap."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.http.cursors import resume_at
from meshd_core.slots.feed import Feed
from meshd_core.terminal.journal import Journal
from meshd_core.types import Activity, StateEvent

STATE = StateEvent(status="running", activity=Activity(state="idle", since="", confidence=1.0))


@contextmanager
def opened(record_bytes: int = 1 << 16) -> Iterator[tuple[Feed, Path]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal.open(path, raw_bytes=1 << 17, record_bytes=record_bytes)
        try:
            yield Feed(journal, STATE), path
        finally:
            journal.close()


def publish(feed: Feed, batches: list[list[str]]) -> None:
    for batch in batches:
        feed.publish_lines([(text, 0, 0) for text in batch])


def read_all(feed: Feed, start: int, max_bytes: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    while events := feed.read(start, max_bytes):
        found += [(event.end, event.data.decode()) for event in events]
        start = events[-1].end
    return found


texts = st.lists(st.lists(st.text(max_size=40), max_size=6), max_size=12)


@settings(max_examples=60, deadline=None)
@given(batches=texts, stop=st.integers(0, 80), size=st.integers(1, 5000))
def test_from_every_id_the_rest_follows_once_and_in_order(batches: list[list[str]], stop: int, size: int) -> None:
    with opened() as (feed, _):
        publish(feed, batches)
        everything = read_all(feed, feed.tail, size)
        assert [text for _, text in everything] == [text for batch in batches for text in batch]
        ids = [feed.tail, *(end for end, _ in everything)]
        at = ids[min(stop, len(ids) - 1)]
        position, gap = resume_at(feed, feed.id_of(at))
        assert (position, gap) == (at, None)
        assert read_all(feed, position, size) == [item for item in everything if item[0] > at]


@settings(max_examples=60, deadline=None)
@given(cursor=st.one_of(st.text(max_size=30), st.integers(-5, 10**6).map(str)), with_epoch=st.booleans())
def test_any_other_cursor_gives_a_gap_and_then_the_oldest(cursor: str, with_epoch: bool) -> None:
    with opened() as (feed, _):
        publish(feed, [["one", "two", "three"]])
        text = f"{feed.epoch}-{cursor}" if with_epoch else cursor
        position, gap = resume_at(feed, text)
        ends = {end for end, _ in read_all(feed, feed.tail, 1 << 16)}
        if gap is None:
            assert position in ends | {feed.tail}
        else:
            assert position == feed.tail


def test_what_the_ring_no_longer_holds_is_a_gap_with_its_size() -> None:
    with opened(record_bytes=1 << 16) as (feed, _):
        publish(feed, [["first"]])
        early = feed.head
        publish(feed, [[f"{number} {'x' * 100}" for number in range(50)] for _ in range(60)])
        position, gap = resume_at(feed, feed.id_of(early))
        assert position == feed.tail > early
        assert gap is not None
        assert gap.lost_bytes == feed.tail - early


@pytest.mark.anyio
async def test_a_waiter_wakes_at_the_next_event_at_its_timeout_and_at_the_end() -> None:
    with opened() as (feed, _):
        waiting = asyncio.create_task(feed.wait(feed.head, 5))
        await asyncio.sleep(0)
        publish(feed, [["news"]])
        assert await waiting
        assert not await feed.wait(feed.head, 0.01)
        waiting = asyncio.create_task(feed.wait(feed.head, 5))
        await asyncio.sleep(0)
        feed.close()
        assert not await waiting
        assert not await feed.wait(feed.head, 5)
