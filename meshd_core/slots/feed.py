"""One slot's events for its readers: positions in the journal, and waking those who wait at its end.

Readers are cursors, not queues: a slow one costs nobody anything, and an event is in the journal before anyone sees it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from meshd_core.clock import now_ms
from meshd_core.terminal.journal import Journal
from meshd_core.terminal.records import Kind, Record, format_id
from meshd_core.types import EndEvent, ExitStatus, StateEvent

EventName = Literal["line", "state", "inject", "dialog", "gap", "end"]
_NAMES: dict[int, EventName] = {
    Kind.LINE: "line",
    Kind.STATE: "state",
    Kind.INJECT: "inject",
    Kind.DIALOG: "dialog",
    Kind.GAP: "gap",
    Kind.END: "end",
}

# A wake of N readers costs N sends. A hot slot with many readers is therefore woken at most once in this many
# seconds a reader, which keeps the cost of a delivered line flat; the first event after a pause goes out at once.
TICK_PER_READER_S = 0.0006
LONGEST_TICK_S = 0.25


class FeedEvent(msgspec.Struct, frozen=True):
    """One event: `end` is its position (its id without the epoch), `data` UTF-8 text for a line, else JSON."""

    end: int
    event: EventName
    n: int
    t_ms: int
    data: bytes


class Feed:
    """The events of one slot. Made once for the slot; spans runs of the agent and restarts of the daemon."""

    def __init__(self, journal: Journal, snapshot: StateEvent) -> None:
        self._journal = journal
        self._snapshot = snapshot
        self._readers = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._watchers: set[Callable[[], None]] = set()
        self._woken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closing = asyncio.Event()
        self.bye_reason = ""
        self._idle = asyncio.Event()
        self._idle.set()

    # -- writing (the slot alone) --

    def publish(self, records: list[Record]) -> None:
        """Put `records` in the journal, then wake the readers."""
        self._journal.append(records)
        self._notify()

    def publish_lines(self, lines: list[tuple[str, int, int]]) -> None:
        """Put lines in the journal: (text, raw_end, skip) each, numbered on."""
        at, n = now_ms(), self._journal.last_n
        records = [
            Record(Kind.LINE, n + number, at, raw_end, skip, text.encode("utf-8", "replace"))
            for number, (text, raw_end, skip) in enumerate(lines, 1)
        ]
        self.publish(records)

    def publish_event(self, kind: int, body: msgspec.Struct) -> None:
        """Put one event other than a line in the journal."""
        self.publish([Record(kind, 0, now_ms(), self._journal.raw_head, 0, msgspec.json.encode(body))])

    def set_snapshot(self, snapshot: StateEvent) -> None:
        self._snapshot = snapshot

    def close(self, reason: str = "draining") -> None:
        """Tell every reader that nothing more comes, and why, as its `bye` says it."""
        self.bye_reason = reason
        self.closing.set()
        self._fire()

    def _notify(self) -> None:
        if not self._waiters and not self._watchers:
            return
        loop = asyncio.get_running_loop()
        due = self._woken_at + min(self._readers * TICK_PER_READER_S, LONGEST_TICK_S)
        if self._readers < 2 or loop.time() >= due:
            self._fire()
        elif self._timer is None:
            self._timer = loop.call_at(due, self._fire)

    def _fire(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        for watcher in self._watchers:
            watcher()
        self._woken_at = asyncio.get_running_loop().time()

    # -- reading --

    @property
    def epoch(self) -> str:
        return self._journal.epoch

    @property
    def head(self) -> int:
        """Position after the newest event."""
        return self._journal.head

    @property
    def tail(self) -> int:
        """Position just before the oldest event held."""
        return self._journal.tail

    def first_n(self) -> int:
        """Number of the oldest line held; `last_n() + 1` if none is."""
        return self._journal.first_n

    def last_n(self) -> int:
        """Number of the newest line; lines count from 1 in an epoch."""
        return self._journal.last_n

    def id_of(self, offset: int) -> str:
        return format_id(self.epoch, offset)

    def valid(self, offset: int) -> bool:
        """Whether `offset` is a position of this journal that is still held."""
        return self._journal.valid(offset)

    def tail_lines(self, count: int) -> int:
        """The position from which `count` lines follow (or all that are held)."""
        return self._journal.tail_lines(count)

    def read(self, start: int, max_bytes: int = 65536) -> list[FeedEvent]:
        """Events after `start`, at most about `max_bytes` of them; empty at the end, and once the slot is no more."""
        if self._journal.closed:
            return []
        return [
            FeedEvent(end, _NAMES[record.kind], record.n, record.t_ms, record.data)
            for end, record in self._journal.read(start, max_bytes)
        ]

    def lines_after(self, n: int, limit_bytes: int = 1024 * 1024) -> list[str]:
        """Texts of the held lines whose number is greater than `n`."""
        start = self.tail_lines(max(0, self.last_n() - n))
        texts: list[str] = []
        size = 0
        while (events := self.read(start)) and size < limit_bytes:
            for event in events:
                if event.event == "line" and event.n > n:
                    texts.append(event.data.decode())
                    size += len(event.data)
            start = events[-1].end
        return texts

    def newest_state(self) -> StateEvent | None:
        """What the journal last said of the slot's state: it holds until something newer is seen."""
        record = self._journal.newest(Kind.STATE)
        return None if record is None else msgspec.json.decode(record.data, type=StateEvent)

    def newest_exit(self) -> ExitStatus | None:
        """How the last run that ended did so, as far as it is held."""
        record = self._journal.newest(Kind.END)
        return None if record is None else msgspec.json.decode(record.data, type=EndEvent).exit

    def snapshot(self) -> StateEvent:
        """The slot's state now: what a reader without a cursor is told first."""
        return self._snapshot

    @contextmanager
    def readers(self) -> Iterator[None]:
        """Counts one streaming reader while open."""
        self._readers += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._idle.set()

    async def readers_gone(self, within_s: float) -> None:
        """After `close`: wait until no reader is left, at most `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            pass

    def watch(self, on_event: Callable[[], None]) -> Callable[[], None]:
        """Have `on_event` called after new events (for many readers not more often than the tick) and at the closing:
        at once, without a turn of the loop between. Call the result to end it.
        """
        self._watchers.add(on_event)
        return lambda: self._watchers.discard(on_event)

    async def wait(self, past: int, timeout_s: float) -> bool:
        """Wait until there is an event after `past` (True), or until the timeout or the closing (False)."""
        if self.head > past:
            return True
        if self.closing.is_set():
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return self.head > past
