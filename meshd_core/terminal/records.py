"""Event records in a ring: appended in batches, walked both ways, named by where they end.

On disk: `u32 length, u32 crc32(u64 offset || payload), payload, u32 length`, little-endian; the payload is `u8 kind,
u64 n, u64 t_ms, u64 raw_end, u32 skip, data`. With its own offset in the sum, a record left from an earlier lap never
passes for one of this lap, and any number that a client sends can be checked to be a record's end.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

from msgspec import Struct

from meshd_core.terminal.journal_file import JournalDamaged
from meshd_core.terminal.ring import Ring

_OFFSET = struct.Struct("<Q")
_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<BQQQI")
_FRAME = struct.Struct("<IIBQQQI")
_LENGTH = struct.Struct("<I")
_FRAMING = _HEAD.size + _LENGTH.size
_ID = re.compile(r"([0-9a-z]{1,13})-(0|[1-9][0-9]{0,18})")

# Indices of the u64 cells of the journal's header that records own.
HEAD, TAIL, LAST_N, DROPPED, USED_RAW, USED_SKIP = 24, 25, 26, 27, 28, 29


class Kind:
    """What a record is; small ints, because they are stored."""

    LINE: Final = 1
    STATE: Final = 2
    INJECT: Final = 3
    DIALOG: Final = 4
    GAP: Final = 5
    END: Final = 6


class Record(Struct, frozen=True, gc=False):
    """One event of a slot.

    `n`: for a line its number in the epoch, from 1. `raw_end`, `skip`: replaying the raw bytes from `raw_end` through
    fresh filters and dropping the first `skip` lines gives exactly the lines after this one.
    """

    kind: int
    n: int
    t_ms: int
    raw_end: int
    skip: int
    data: bytes


def format_id(epoch: str, offset: int) -> str:
    """The id on the wire of the event that ends at `offset`."""
    return f"{epoch}-{offset}"


def parse_id(text: str) -> tuple[str, int] | None:
    """(epoch, offset) of an id, or None if `text` has not the form of one."""
    match = _ID.fullmatch(text)
    return (match[1], int(match[2])) if match else None


class RecordRing:
    """Records from `tail` to `head`. `cells` is the header; its head is stored last, with one 8-byte store."""

    def __init__(self, ring: Ring, cells: memoryview) -> None:
        """Take over what the ring holds, checking each record. Raises JournalDamaged."""
        self._ring, self._cells = ring, cells
        self.max_data = ring.size // 8 - _FRAMING - _BODY.size
        self.head: int = cells[HEAD]
        self.tail: int = cells[TAIL]
        self.dropped: int = cells[DROPPED]
        """Lines that made room for newer ones."""
        # The cells are stored after the head, so the ring knows better, but it may hold no line any more.
        self.last_n: int = cells[LAST_N]
        self.consumed: tuple[int, int] = (cells[USED_RAW], cells[USED_SKIP])
        """(raw_end, skip) from which raw bytes have to be replayed after an adoption."""
        if not 0 <= self.head - self.tail <= ring.size:
            raise JournalDamaged("the positions of the records contradict each other")
        for kind, n, raw_end, skip in self._scan():
            self._note(kind, n, raw_end, skip)
        self._first_line = self.tail

    def _scan(self) -> Iterator[tuple[int, int, int, int]]:
        """(kind, n, raw_end, skip) of each record held, all of them verified."""
        with memoryview(self._ring.get(self.tail, self.head - self.tail)) as blob:
            at, end = 0, len(blob)
            while at < end:
                if end - at < _FRAMING + _BODY.size:
                    raise JournalDamaged("a record is cut off")
                length, crc, kind, n, _, raw_end, skip = _FRAME.unpack_from(blob, at)
                stop = at + _FRAMING + length
                if length < _BODY.size or stop > end or _LENGTH.unpack_from(blob, stop - 4)[0] != length:
                    raise JournalDamaged("a record's length is wrong")
                if crc32(blob[at + 8 : stop - 4], crc32(_OFFSET.pack(self.tail + at))) != crc:
                    raise JournalDamaged("a record's checksum is wrong")
                yield kind, n, raw_end, skip
                at = stop

    def _note(self, kind: int, n: int, raw_end: int, skip: int) -> None:
        if kind == Kind.LINE:
            self.last_n, self.consumed = n, (raw_end, skip)
        elif kind == Kind.GAP or (kind == Kind.END and raw_end >= self.consumed[0]):
            self.consumed = (raw_end, skip)

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record]) -> None:
        """Add `records` at the end; all become visible at once, and the oldest make room.

        A batch larger than half of the ring becomes visible in several steps, in order. Raises ValueError, with
        nothing added, for a record with more than `max_data` bytes of data.
        """
        parts: list[bytes] = []
        cuts: list[tuple[int, int]] = []
        """(number of parts, offset) at which an oversized batch is committed."""
        start = offset = self.head
        half = self._ring.size // 2
        for record in records:
            if len(record.data) > self.max_data:
                raise ValueError(f"a record holds at most {self.max_data} bytes, this one {len(record.data)}")
            body = _BODY.pack(record.kind, record.n, record.t_ms, record.raw_end, record.skip) + record.data
            length = len(body)
            if offset - start + length + _FRAMING > half:
                cuts.append((len(parts), offset))
                start = offset
            parts += (_HEAD.pack(length, crc32(body, crc32(_OFFSET.pack(offset)))), body, _LENGTH.pack(length))
            offset += length + _FRAMING
        done = 0
        for count, end in cuts:
            self._commit(b"".join(parts[done:count]), end)
            done = count
        self._commit(b"".join(parts[done:] if done else parts), offset)
        for record in records:
            self._note(record.kind, record.n, record.raw_end, record.skip)
        cells = self._cells
        cells[LAST_N] = self.last_n
        cells[USED_RAW], cells[USED_SKIP] = self.consumed

    def _commit(self, data: bytes, end: int) -> None:
        if end - self._ring.size > self.tail:
            self._evict(end - self._ring.size)
        self._ring.put(self.head, data)
        self._cells[HEAD] = end
        self.head = end

    def _evict(self, until: int) -> None:
        """Move the tail to the first record at or after `until`, before the bytes there are overwritten."""
        ring, tail, dropped = self._ring, self.tail, self.dropped
        while tail < until:
            if ring.byte(tail + 8) == Kind.LINE:
                dropped += 1
            tail += ring.u32(tail) + _FRAMING
        self._cells[TAIL] = tail
        self._cells[DROPPED] = dropped
        self.tail, self.dropped = tail, dropped

    # -- reading ---------------------------------------------------------------------------------------------------

    def valid(self, offset: int) -> bool:
        """Whether `offset` is a position between two records held (or the tail, or the head). Any int may be asked."""
        if offset in (self.tail, self.head):
            return True
        return self.tail < offset < self.head and self._start_of(offset) is not None

    def _start_of(self, end: int) -> int | None:
        """Where the record starts that ends at `end`; None if none does."""
        if end - self.tail < _FRAMING + _BODY.size:
            return None
        length = self._ring.u32(end - 4)
        start = end - length - _FRAMING
        if length < _BODY.size or start < self.tail or self._ring.u32(start) != length:
            return None
        body = self._ring.get(start + 8, length)
        return start if crc32(body, crc32(_OFFSET.pack(start))) == self._ring.u32(start + 4) else None

    def read(self, start: int, max_bytes: int = 65536, limit: int | None = None) -> list[tuple[int, Record]]:
        """Records from `start` on, each with its end's offset: at most `limit`, and `max_bytes` (but one at least).

        `start` is a position as `valid` knows it: ValueError outside tail..head, JournalDamaged where no record starts.
        """
        if not self.tail <= start <= self.head:
            raise ValueError(f"position {start} is not within {self.tail}..{self.head}")
        if start == self.head or limit == 0:
            return []
        first = self._ring.u32(start) + _FRAMING
        if start + first > self.head or self._start_of(start + first) != start:
            raise JournalDamaged(f"no record starts at {start}")
        blob = self._ring.get(start, min(self.head - start, max(max_bytes, first)))
        found: list[tuple[int, Record]] = []
        at, end = 0, len(blob)
        while end - at >= _FRAMING + _BODY.size and len(found) != limit:
            length, _, kind, n, t_ms, raw_end, skip = _FRAME.unpack_from(blob, at)
            stop = at + length + _FRAMING
            if stop > end:
                break
            if length < _BODY.size or _LENGTH.unpack_from(blob, stop - 4)[0] != length:
                raise JournalDamaged(f"the record at {start + at} is broken")
            found.append((start + stop, Record(kind, n, t_ms, raw_end, skip, blob[at + _FRAME.size : stop - 4])))
            at = stop
        return found

    def tail_lines(self, count: int) -> int:
        """The position after which exactly `count` lines follow (all that are held, if fewer)."""
        at = self.head
        while count > 0 and at > self.tail:
            at -= self._ring.u32(at - 4) + _FRAMING
            if self._ring.byte(at + 8) == Kind.LINE:
                count -= 1
        return at

    def newest(self, kind: int) -> Record | None:
        """The newest record of `kind` that is held, found by walking back from the head."""
        at = self.head
        while at > self.tail:
            at -= self._ring.u32(at - 4) + _FRAMING
            if self._ring.byte(at + 8) == kind:
                return self.read(at, limit=1)[0][1]
        return None

    @property
    def first_n(self) -> int:
        """Number of the oldest line held; `last_n + 1` if none is."""
        at = max(self._first_line, self.tail)
        while at < self.head:
            if self._ring.byte(at + 8) == Kind.LINE:
                self._first_line = at
                return _OFFSET.unpack(self._ring.get(at + 9, 8))[0]  # type: ignore[no-any-return]
            at += self._ring.u32(at) + _FRAMING
        self._first_line = at
        return self.last_n + 1
