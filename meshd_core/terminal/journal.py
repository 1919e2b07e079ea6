"""One slot's journal: raw terminal bytes and event records in a memory-mapped file.

What is stored here has survived the process: pages of a shared mapping outlive a kill -9 without any fsync (a loss of
power is not covered). Bytes are read from the terminal straight into the mapping, because a kill between a `read` and
the storing of its result breaks the sequence.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final
from zlib import crc32

from meshd_core.clock import base36
from meshd_core.terminal.journal_file import (
    PAGE,
    STATIC,
    JournalDamaged,
    JournalInUse,
    free_name,
    map_file,
    open_locked,
)
from meshd_core.terminal.records import Record, RecordRing
from meshd_core.terminal.ring import Ring

WINDOW: Final = 65536
"""Bytes ahead of the raw head that are always zero, and thus the most that one read may bring."""
RAW_STEP: Final = 16 * 1024
"""Bytes that are replayed at a time."""
_MARKER = struct.Struct("<QQQQQ")
_ZEROS = memoryview(bytes(WINDOW))
_NOTHING = memoryview(b"")

# Indices of u64 cells of the header (records.py has its own).
_RAW_HEAD, _RAW_TAIL, _RAW_COPY = 16, 17, 18
_MARKERS = (32, 40)


class Journal:
    """The open journal of one slot. Not thread-safe; positions of both rings only grow within an epoch."""

    def __init__(self, fd: int, mapping: mmap.mmap, path: Path) -> None:
        """Take over a mapped and locked file (use `open`). Raises JournalDamaged."""
        self.path = path
        self._fd, self._mapping = fd, mapping
        self._view = memoryview(mapping)
        _, _, _, epoch_ms, raw_size, _ = STATIC.unpack_from(self._view)
        self.epoch = base36(epoch_ms)
        """The journal's birth time in base 36: the first half of every event's id."""
        self._cells = self._view[:PAGE].cast("Q")
        self._raw_head: int = self._cells[_RAW_HEAD]
        self._raw_tail: int = self._cells[_RAW_TAIL]
        self._raw = Ring(self._view[PAGE : PAGE + raw_size])
        self._ring = Ring(self._view[PAGE + raw_size :])
        try:
            self._recover_raw()
            self._records = RecordRing(self._ring, self._cells)
        except JournalDamaged:
            self._release()
            raise

    @classmethod
    def open(cls, path: Path, *, raw_bytes: int = 1 << 20, record_bytes: int = 4 << 20) -> "Journal":
        """The journal at `path`, made if there is none; an existing one keeps its sizes.

        A file that is damaged, foreign or of another version is renamed to `<name>.bad-<n>` and a new epoch begins.
        All of the disk space is taken here: OSError (ENOSPC) now, never a SIGBUS later. Raises JournalInUse.
        """
        if raw_bytes < 2 * WINDOW or record_bytes < PAGE or raw_bytes % 8 or record_bytes % 8:
            raise ValueError("a journal needs 128 KiB for raw bytes and 4 KiB for records, in multiples of 8")
        while True:
            fd = open_locked(path)
            try:
                mapping = map_file(fd, raw_bytes, record_bytes)
                return cls(fd, mapping, path)
            except JournalDamaged:
                os.rename(path, free_name(path))
                os.close(fd)
            except BaseException:
                os.close(fd)
                raise

    def close(self) -> None:
        """Unmap and unlock. Views that `read_from` returned should be gone; one that isn't keeps its memory alive."""
        if self._fd < 0:
            return
        self._release()
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # a mapping kept alive has a duplicate of the descriptor, and so the lock
        os.close(self._fd)
        self._fd = -1

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def _release(self) -> None:
        self._raw.release()
        self._ring.release()
        self._cells.release()
        self._view.release()
        with suppress(BufferError):  # a view is still held: the mapping ends with it
            self._mapping.close()

    # -- raw bytes -------------------------------------------------------------------------------------------------

    @property
    def raw_head(self) -> int:
        """Offset after the newest raw byte."""
        return self._raw_head

    @property
    def raw_tail(self) -> int:
        """Offset of the oldest raw byte held."""
        return self._raw_tail

    def read_from(self, fd: int) -> memoryview:
        """What one `readv` of at most 64 KiB brings, already stored; empty at the end of the file.

        OSError passes: BlockingIOError if there is nothing, EIO when the terminal's other side is closed. The view is
        good until the next call: use it or copy it.
        """
        head = self._raw_head
        views = self._raw.views(head, WINDOW)
        count = os.readv(fd, views)
        if not count:
            return _NOTHING
        self._advance(count)
        if count <= len(views[0]):
            return views[0][:count].toreadonly()
        return memoryview(self._raw.get(head, count))

    def append_raw(self, data: bytes | memoryview) -> None:
        """Store bytes that were read elsewhere. After a kill a prefix of `data` is stored, in steps of 64 KiB."""
        with memoryview(data) as view:
            for start in range(0, len(view), WINDOW):
                part = view[start : start + WINDOW]
                # A copy cut short may have holes: while this is set, nothing ahead of the head is believed.
                self._cells[_RAW_COPY] = self._raw_head + 1
                self._raw.put(self._raw_head, part)
                self._advance(len(part))

    def _advance(self, count: int) -> None:
        """Publish `count` bytes after the head, keeping the window ahead zero. The order survives a kill anywhere."""
        head, size = self._raw_head, self._raw.size
        new = head + count
        edge = new + WINDOW - size
        if edge > self._raw_tail:
            self._cells[_RAW_TAIL] = edge
            self._raw_tail = edge
        if edge > 0:  # in the first lap the file is still zero
            self._raw.put(head + WINDOW, _ZEROS[:count])
        self._cells[_RAW_HEAD] = new
        self._raw_head = new

    def _recover_raw(self) -> None:
        """Find the bytes that a killed process had read but not published: up to the last that isn't zero."""
        if not 0 <= self._raw_head - self._raw_tail <= self._raw.size - WINDOW:
            raise JournalDamaged("the positions of the raw bytes contradict each other")
        if self._cells[_RAW_COPY] == self._raw_head + 1:
            self._raw.put(self._raw_head, _ZEROS)
        else:
            found = len(self._raw.get(self._raw_head, WINDOW).rstrip(b"\0"))
            if found:
                self._advance(found)
        self._cells[_RAW_COPY] = 0

    def raw(self, start: int, end: int) -> bytes:
        """The raw bytes from `start` to `end`. Raises ValueError where they aren't held."""
        if not self._raw_tail <= start <= end <= self._raw_head:
            raise ValueError(f"raw {start}..{end} is not within {self._raw_tail}..{self._raw_head}")
        return self._raw.get(start, end - start)

    def raw_steps(self, start: int, end: int, marks: Sequence[int] = ()) -> Iterator[tuple[bytes, int]]:
        """The raw bytes from `start` to `end` in steps of at most `RAW_STEP`, none of them across one of `marks`; each
        with where it ends. Raises ValueError where they aren't held.
        """
        cuts = sorted({start, end, *(mark for mark in marks if start < mark < end)})
        for first, last in pairwise(cuts):
            for low in range(first, last, RAW_STEP):
                high = min(low + RAW_STEP, last)
                yield self.raw(low, high), high

    def backlog_begin(self, run_hash: int, start: int, size: int) -> int:
        """How many bytes of this backlog are stored already, from a try that was itself cut short; then remember it.

        The backlog has `size` bytes, the first of them at position `start` among all that the keeper drained of the
        run. Nothing but its rest may be stored until the keeper has been told that it arrived: how far the head has
        moved by then is how much of it is stored.
        """
        run_hash &= 2**64 - 1
        sequence, run, was_start, was_size, head = max(
            (slot for slot in map(self._marker, _MARKERS) if slot), default=(0, 0, 0, 0, 0)
        )
        stored_to = was_start + min(self._raw_head - head, was_size) if sequence and run == run_hash else 0
        stored = min(size, max(0, stored_to - start))
        values = (sequence + 1, run_hash, start + stored, size - stored, self._raw_head)
        at = _MARKERS[values[0] % 2]
        for index, value in enumerate((*values, crc32(_MARKER.pack(*values)))):
            self._cells[at + index] = value  # the sum comes last; the other slot stays good until then
        return stored

    def _marker(self, at: int) -> tuple[int, int, int, int, int] | None:
        values: tuple[int, int, int, int, int] = tuple(self._cells[at : at + 5])  # type: ignore[assignment]
        return values if values[0] and crc32(_MARKER.pack(*values)) == self._cells[at + 5] else None

    # -- records ---------------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """The position after the newest record."""
        return self._records.head

    @property
    def tail(self) -> int:
        """The position before the oldest record held."""
        return self._records.tail

    @property
    def first_n(self) -> int:
        """Number of the oldest line held; `last_n + 1` if none is."""
        return self._records.first_n

    @property
    def last_n(self) -> int:
        """Number of the newest line of the epoch; 0 before the first."""
        return self._records.last_n

    @property
    def dropped(self) -> int:
        """Lines of this epoch that are no longer held."""
        return self._records.dropped

    @property
    def consumed(self) -> tuple[int, int]:
        """(raw_end, skip) of the newest line, gap or end: from where to replay raw bytes after an adoption."""
        return self._records.consumed

    @property
    def max_data(self) -> int:
        """The most bytes of data that one record may hold."""
        return self._records.max_data

    def append(self, records: Sequence[Record]) -> None:
        """See `RecordRing.append`."""
        self._records.append(records)

    def read(self, start: int, max_bytes: int = 65536, limit: int | None = None) -> list[tuple[int, Record]]:
        """See `RecordRing.read`."""
        return self._records.read(start, max_bytes, limit)

    def valid(self, offset: int) -> bool:
        """Whether `offset` is a position between two records held (or the tail, or the head)."""
        return self._records.valid(offset)

    def tail_lines(self, count: int) -> int:
        """The position after which exactly `count` lines follow (all that are held, if fewer)."""
        return self._records.tail_lines(count)

    def newest(self, kind: int) -> Record | None:
        """The newest record of `kind` that is held."""
        return self._records.newest(kind)


__all__ = ["WINDOW", "Journal", "JournalDamaged", "JournalInUse"]
