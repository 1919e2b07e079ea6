"""One screen's way onto its tape: which of the rows seen are new, and when each has settled.

The primary screen hands over rows that scrolled away, so its place on the tape is always known. The alternate screen
has no history: how far it scrolled is found by laying its rows over the tape and the rows still pending.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from meshd_core.terminal.missed_rows import Unseen
from meshd_core.terminal.transcript_ages import RowAges
from meshd_core.terminal.transcript_leftovers import Leftovers
from meshd_core.terminal.transcript_overdrawn import OverdrawnRows
from meshd_core.terminal.transcript_tape import LAST_SCREEN, Placed, ShiftedTape, Tape, compact
from meshd_core.terminal.transcript_volatile import VolatileRows
from meshd_core.types import ActivityState

SETTLE_S = 0.25
_MANY = 8
"""Rows: fewer may be a block that changes in place."""
REAPPEAR_S = 1.0
"""After a clear or a resize, for so long, a row that is on the tape is that row again."""
_TAIL_S: dict[ActivityState, float] = {"idle": SETTLE_S, "waiting": SETTLE_S, "busy": 6.0}
_TAIL_UNKNOWN_S = 1.0


class Row(NamedTuple):
    """One line of the screen as the transcript would show it; `blank_before`: an empty row stands above it."""

    text: str
    compact: str
    blank_before: bool
    echo: bool = False


class Sample(NamedTuple):
    """What is seen at one moment: rows that left for good, rows above the live line."""

    scrolled: Sequence[Row]
    rows: Sequence[Row]


class _Pending(Struct):
    """`known` characters of the row are on the tape; `place`: where it stands in the text before a resize."""

    row: Row
    known: int
    at: int | None
    place: int | None
    since: float
    tail: bool


def rest_of(text: str, known: int) -> str:
    """What follows the first `known` characters of `text` that aren't spaces."""
    if not known:
        return text
    for index, char in enumerate(text):
        if not char.isspace():
            if not known:
                return text[index:]
            known -= 1
    return ""


def _replaced_below(rows: Sequence[Row], before: Sequence[Row]) -> int:
    """How many rows at the top stayed while all below them were replaced, at least `_MANY`; 0 if that isn't so."""
    stayed = next((y for y, (row, was) in enumerate(zip(rows, before, strict=False)) if row.compact != was.compact), 0)
    gone, come = before[stayed:], rows[stayed:]
    if not stayed or min(len(gone), len(come)) < _MANY:
        return 0
    return 0 if {row.compact for row in gone} & {row.compact for row in come} else stayed


class ScreenTrack:
    """The tape of the primary or of the alternate screen, its pending rows and what they wait for."""

    def __init__(self, *, alternate: bool, agent: bool) -> None:
        self._alternate, self.agent = alternate, agent
        self.tape = Tape()
        self._anchor = 0
        self._prompt_at: int | None = None
        """Where the last echoed prompt lies that the last sample of the alternate screen shows."""
        self._lost_place = self._replayed = False
        self._reappear_until = self._left_until = 0.0
        self._pending: list[_Pending] = []
        self._last: Sample | None = None
        self._rows: Sequence[Row] = ()
        """Those of the last sample that are not volatile."""
        self._volatile = VolatileRows()
        self._leftovers = Leftovers()
        self._ages = RowAges()
        self._spoke = False
        self.lost = 0
        self.marks_unseen = False
        """Whether an `Unseen` is put among the lines where rows went by; else that counts as `lost`."""
        self._overdrawn = OverdrawnRows()

    def restore(self, lines: Iterable[str]) -> None:
        """Begin with a tape that has `lines`."""
        for line in lines:
            self.tape.append(compact(line))
            self._spoke = True
        self._anchor = self.tape.end

    def reworded(self, rows: Sequence[tuple[str, str]]) -> None:
        """The tape has some of `rows` as the first of each pair; have it as the second, which is what was drawn."""
        self.tape.reword(rows)
        self._anchor = self.tape.end

    def redrawn(self, now: float, *, replayed: bool = False, resized: bool = False) -> None:
        """The screen was cleared, resized or drawn by a replay: its place must be looked for."""
        self._lost_place, self._reappear_until = True, now + REAPPEAR_S
        if resized and self.agent and not self._alternate:  # The alternate screen isn't cut anew.
            self._left_until = self._reappear_until
            self._remember()
        self._replayed = self._replayed or replayed
        self._last, self._rows = None, ()
        self._volatile.forget()

    def observe(self, sample: Sample, now: float) -> list[str]:
        """Take what is seen; lines that left the screen are returned, visible ones become pending."""
        if not sample.scrolled and sample == self._last:
            return []
        if sample.scrolled:
            self._volatile.forget()
        volatile = self._volatile.look([row.text for row in sample.rows], now)
        rows = [row for y, row in enumerate(sample.rows) if y not in volatile]
        before, self._rows, self._last = self._rows, rows, sample
        out: list[str] = []
        scrolled = list(sample.scrolled)
        replayed = self._replayed
        start, first, sure = self._place(scrolled, rows, before, now, out)
        stands = replayed and start < self.tape.end
        while self._alternate and first and self._stays(rows[0], before):
            rows, first = rows[1:], first - 1
        every = scrolled + rows
        walk = self.tape.walk([row.compact for row in every], start, first)
        places: list[int | None] = [None] * len(every)
        if self._may_be_left(now):
            places = self._leftovers.find([row.compact for row in every])
        placed = list(walk.placed)
        if now < self._reappear_until and not (sure and walk.clean):
            placed = [
                self._reappeared(row, place) if earlier is None else place
                for row, place, earlier in zip(every, placed, places, strict=True)
            ]
        if stands:
            self._reappear_until = now  # The screen is as it was: what comes now is drawn by the agent.
        if every:
            self._lost_place = False
        self._look_for_overdrawn(every, before)
        starts = [*walk.starts, 0]
        tail = rows[-1] if rows else None
        self._pending = []
        shift = 0
        for index, (row, place, earlier) in enumerate(zip(every, placed, places, strict=True)):
            if index < len(scrolled):
                self._leftovers.left(row.compact, earlier)
                moved = self._write(row, place.known, earlier, None if place.at is None else place.at + shift, out)
                shift += moved if place.at is not None else 0
            elif place.known < len(row.compact):
                at = None if place.at is None else place.at + shift
                since = self._ages.since((row.text, place.known, at is None), now)
                self._pending.append(_Pending(row, place.known, at, earlier, since, row is tail))
        self._ages.looked(now)
        if every:  # Nothing at all is seen while all is drawn again: it will stand where it stood.
            self._anchor = starts[len(scrolled)] + shift if rows else self.tape.end
            self._prompt_at = self._last_prompt(every, starts, shift)
        return out

    def _last_prompt(self, rows: Sequence[Row], starts: Sequence[int], shift: int) -> int | None:
        if not self._alternate:
            return None
        return next((starts[at] + shift for at in reversed(range(len(rows))) if rows[at].echo), None)

    def _look_for_overdrawn(self, rows: Sequence[Row], before: Sequence[Row]) -> None:
        if self.marks_unseen and self.agent and not self._alternate:
            waiting = [item.row.compact for item in self._pending]
            self._overdrawn.look([row.compact for row in rows], [row.compact for row in before], waiting)

    def _remember(self) -> None:
        """What stands on the screen, and what of it has been told, before a resize cuts it anew."""
        again = [index for index, item in enumerate(self._pending) if item.place is not None]
        if again:  # Of what is pending, much stands there again since the last resize: what goes on is more.
            for item in self._pending[again[-1] :]:
                item.place = self._leftovers.add(item.row.compact, item.place)
            return
        waiting = {id(item.row): item for item in self._pending}
        self._leftovers.begin()
        all_told = True
        for row in self._rows:
            place = self._leftovers.add(row.compact)
            waits = waiting.get(id(row))
            if all_told:
                self._leftovers.tell(place, len(row.compact) if waits is None else waits.known)
            if waits is not None:
                waits.place, all_told = place, False

    def _may_be_left(self, now: float) -> bool:
        """Whether what a resize left may stand above what is drawn; a row of that which still grows is waited for."""
        return now < self._left_until or any(
            self._leftovers.goes_on(item.row.compact, item.place) for item in self._pending
        )

    def _stays(self, row: Row, before: Sequence[Row]) -> bool:
        """Whether `row`, above one that has scrolled, is a header that doesn't: a prompt in one row, maybe cut, or what
        stood there `before`; and is no news.
        """
        there = row.echo or any(row.compact == other.compact for other in before)
        return there and self._with_pending().holds(row.compact.removesuffix("…"))

    def _place(
        self, scrolled: list[Row], rows: list[Row], before: Sequence[Row], now: float, out: list[str]
    ) -> tuple[int, int, bool]:
        """A tape position, the index of the row that lies there, and whether that is sure.

        Pending rows that scrolled off the alternate screen are committed.
        """
        texts = [row.compact for row in (scrolled + rows)[:64]]
        if not texts or not (self._alternate or self._lost_place):
            return self._anchor, 0, True
        pending = [item for item in self._pending if item.at is None]
        view = self._with_pending()
        replayed, self._replayed = self._replayed, False
        found = (
            view.locate_replayed(texts) if replayed else view.locate(texts, self._anchor, redrawn=not self._alternate)
        )
        header = 0 if replayed or not self._alternate else _replaced_below(rows, before)
        if header:
            found = found and view.locate(texts[header:], self._anchor)
            found = found and (found[0], found[1] + header)
        passed = found is not None and self._alternate and self._is_passed(found[0], rows, view)
        if passed:
            found = None
        if found is None and replayed:
            return self.tape.end, 0, True
        if found is None:
            # Nothing of the last screen is left: it was replaced, or more than a screen went by unseen.
            if self._alternate and now >= self._reappear_until:
                for item in pending:
                    self._write(item.row, item.known, item.place, None, out)
                self._pending = []
                if self.marks_unseen and self._spoke:
                    out.append(
                        Unseen(self.tape.last(LAST_SCREEN), self.tape.end, self.fill, lost=passed or bool(pending))
                    )
                else:
                    self.lost += passed or bool(pending)
            return self.tape.end, header, False
        for item in pending[: view.gone(found[0])]:
            self._write(item.row, item.known, item.place, None, out)
            self._pending.remove(item)
        return *found, True

    def _is_passed(self, position: int, rows: Sequence[Row], view: Tape) -> bool:
        """Whether rows found at `position` only look like those there: they lie before a prompt that was on the screen
        and is on it no more, and there is news among them.
        """
        if self._prompt_at is None or position >= self._prompt_at or any(row.echo for row in rows):
            return False
        return any(not view.holds(row.compact) for row in rows)

    def _with_pending(self) -> ShiftedTape:
        return self.tape.with_rows([item.row.compact[item.known :] for item in self._pending if item.at is None])

    def _reappeared(self, row: Row, place: Placed) -> Placed:
        return Placed(len(row.compact)) if not place.known and self.tape.holds(row.compact) else place

    def commit(self, state: ActivityState, now: float, *, final: bool = False) -> list[str]:
        """Lines that have settled by `now`, strictly from top to bottom; `final`: all of them."""
        out: list[str] = []
        while self._pending and (final or now >= self._ripe(self._pending[0], state)):
            item = self._pending.pop(0)
            moved = self._write(item.row, item.known, item.place, item.at, out)
            for other in self._pending if item.at is not None else ():
                if other.at is not None:
                    other.at += moved
        return out

    def due(self, state: ActivityState) -> float | None:
        """When the next row will have settled, if nothing changes."""
        return self._ripe(self._pending[0], state) if self._pending else None

    def fill(self, at: int, lines: Sequence[str]) -> int:
        """Rows that went by unseen at `at` were these `lines`. How many characters of the tape they are."""
        text = "".join(map(compact, lines))
        self.tape.insert(at, text)
        self._anchor += len(text) if self._anchor >= at else 0
        if self._prompt_at is not None and self._prompt_at >= at:
            self._prompt_at += len(text)
        for item in self._pending:
            item.at = item.at if item.at is None or item.at < at else item.at + len(text)
        return len(text)

    def _ripe(self, item: _Pending, state: ActivityState) -> float:
        if not item.tail or not self.agent or item.row.echo or self._told(item) == len(item.row.compact):
            return item.since + SETTLE_S
        return item.since + _TAIL_S.get(state, _TAIL_UNKNOWN_S)

    def _told(self, item: _Pending) -> int:
        return self._leftovers.told(item.row.compact, item.place)

    def _write(self, row: Row, known: int, place: int | None, at: int | None, out: list[str]) -> int:
        """Put the unknown rest of `row` on the tape, and what of it wasn't told into `out`; returns its length."""
        rest = row.compact[known:]
        if not rest:
            return 0
        if self._overdrawn.take(row.compact) and at is None and self._spoke:
            out.append(Unseen(self.tape.last(LAST_SCREEN), self.tape.end, self.fill, drawn_over=True))
        if at is None:
            self.tape.append(rest)
        else:
            self.tape.insert(at, rest)
        told = self._leftovers.told(row.compact, place)
        if place is not None:
            self._leftovers.tell(place, len(row.compact))
        if told < len(row.compact):
            if row.blank_before and not known and not told and self._spoke:
                out.append("")
            self._spoke = True
            out.append(rest_of(row.text, max(known, told)))
        return len(rest)
