"""The compact-text tape: everything that a screen has shown for good, without its spaces.

Spaces are what a rewrap, a resize and a redraw change; without them the same text is found again at the running
position, whatever the width. A row that continues the tape is old, a row past its end is new.
"""

import bisect
import itertools
from collections.abc import Sequence
from typing import NamedTuple

MAX_CHARS = 131_072
_SURE = 6
"""Characters that a row needs to be found again by itself; a shorter one needs a neighbour."""
_HEADER = 4
"""Characters of a row that may stay above text that scrolls."""
_ANCHORS = 3
_RUN = 12
"""Rows that are compared to tell the better of two alignments."""
_HITS = 64
_PARTS = 4096
LAST_SCREEN = 8192
"""Characters: more than a screen has."""


class Placed(NamedTuple):
    """Where a row lies: `known` of its characters are on the tape; the rest belongs at `at`, or at the end if None."""

    known: int
    at: int | None = None


class Walk(NamedTuple):
    placed: list[Placed]
    """One for each row."""
    starts: list[int]
    """Position of each row; rows past the tape's end lie one after the other."""
    clean: bool
    """Whether the rows ran over the tape without leaving any of it behind."""


def compact(text: str) -> str:
    """`text` without white space."""
    return "".join(text.split())


class Tape:
    """A bounded string, addressed by positions that only grow: cutting the front moves none."""

    def __init__(self, text: str = "", start: int = 0) -> None:
        self.start = start
        """Position of the oldest character held; above 0, older text was forgotten."""
        self.end = start + len(text)
        self._joined = text
        self._parts: list[str] = []

    @property
    def _text(self) -> str:
        if self._parts:
            self._fold()
        return self._joined

    def _fold(self) -> None:
        # Joined only when looked at: in a flood, rows are appended by the thousand.
        text = "".join((self._joined, *self._parts))
        self._parts.clear()
        cut = max(len(text) - MAX_CHARS, 0)
        self._joined, self.start = text[cut:], self.start + cut

    def append(self, text: str) -> None:
        self._parts.append(text)
        self.end += len(text)
        if len(self._parts) >= _PARTS:
            self._fold()

    def with_rows(self, rows: Sequence[str]) -> "ShiftedTape":
        """A copy with `rows` behind it that are not committed yet."""
        return ShiftedTape(self._text, self.start, rows)

    def insert(self, at: int, text: str) -> None:
        """Put `text` at `at`; everything behind it moves."""
        whole = self._text
        index = min(max(at - self.start, 0), len(whole))
        self._joined = whole[:index] + text + whole[index:]
        self.end += len(text)

    def reword(self, rows: Sequence[tuple[str, str]]) -> None:
        """Replace the first text of each pair by the second, in order, where it lies near the end."""
        whole = self._text
        at = max(len(whole) - 2 * sum(len(old) for old, _ in rows) - LAST_SCREEN, 0)
        for old, new in rows:
            found = whole.find(old, at) if old else -1
            if found >= 0:
                whole = whole[:found] + new + whole[found + len(old) :]
                at = found + len(new)
        self._joined = whole
        self.end = self.start + len(whole)

    def last(self, chars: int) -> str:
        return self._text[-chars:]

    def holds(self, text: str) -> bool:
        whole = self._text
        return bool(text) and text in whole

    def walk(self, rows: Sequence[str], start: int, first: int = 0) -> Walk:
        """Lay compact, non-empty `rows` over the tape, the one of index `first` at `start`."""
        text = self._text
        position = start if start >= self.start and start <= self.start + len(text) else self.end
        if not first and position < self.end:
            position -= self._shown_before(rows, position)
        placed: list[Placed] = []
        starts: list[int] = []
        clean = True
        for index, row in enumerate(rows):
            starts.append(position)
            if position >= self.end:
                placed.append(Placed(0))
                position += len(row)  # Virtual: where the row will lie once it is committed.
                continue
            if index < first:
                place = self._inserted(rows, index, position)
                if not place.known and len(row) >= _HEADER and self.holds(row):
                    place = Placed(len(row))  # A header that stays while the text below it scrolls.
                placed.append(place)
                continue
            known, jump = self._known(rows, index, position)
            if jump is not None:
                clean = clean and jump == position
                starts[-1] = jump
                position = jump + known
                placed.append(Placed(known))
                if known < len(row):  # Grew past the end.
                    position = max(position, self.end) + len(row) - known
                continue
            clean = False
            if self._goes_on(rows, index + 1, position):
                placed.append(self._inserted(rows, index, position))
            else:
                starts[-1] = self.end
                placed.append(Placed(0))
                position = self.end + len(row)
        return Walk(placed, starts, clean)

    def locate(self, rows: Sequence[str], near: int, *, redrawn: bool = False) -> tuple[int, int] | None:
        """Where `rows` lie: (position, index of the first row found), the best alignment, of equals the nearest.

        The first rows may be new (a header); None if not one of the first `_ANCHORS` is on the tape. `redrawn`: all of
        them are drawn again, so that of two alignments the one counts by which more was there before.
        """
        compared = len(rows) if redrawn else _RUN
        wanted = min(_ANCHORS, len(rows))
        if wanted and not redrawn and self._run(rows, 0, near, _RUN)[0] >= wanted:
            return near, 0
        best: tuple[tuple[bool, int, int, int], int, int] | None = None
        for index in range(wanted):
            lead = sum(map(len, rows[:index]))
            for hit in self._hits(rows[index], near):
                count, chars, whole = self._run(rows, index, hit, compared)
                if chars < _SURE and count < 2:
                    continue
                # Text repeats: of those that contradict nothing the nearest, else the longest.
                away = -abs(hit - lead - near)
                rank = (whole, 0 if whole and not redrawn else chars, away, -index)
                if best is None or rank > best[0]:
                    best = rank, hit, index
        return None if best is None else best[1:]

    def locate_replayed(self, rows: Sequence[str]) -> tuple[int, int] | None:
        """Where `rows` lie, drawn again from bytes whose text is on the tape already: (position, index of that row).

        What they show ends at the tape's end, or goes on past it. Text repeats, so of all alignments that end there
        the one counts that explains most of the rows: a look-alike block nearer to the end explains less.
        """
        text = self._text
        floor = max(len(text) - 2 * sum(map(len, rows)), 0)
        best: tuple[tuple[bool, int], int, int] | None = None
        for index in range(min(_ANCHORS, len(rows))):
            at = text.find(rows[index], floor)
            while at >= 0:
                reached, chars = self._explained(rows[index:], at)
                if (reached or chars >= _SURE) and (best is None or (reached, chars) > best[0]):
                    best = (reached, chars), at + self.start, index
                at = text.find(rows[index], at + 1)
        return None if best is None else best[1:]

    def _explained(self, rows: Sequence[str], at: int) -> tuple[bool, int]:
        """Whether `rows` continue the text from index `at` to its end, and how many characters they have in common."""
        text, first = self._text, at
        for row in rows:
            if at >= len(text):
                break
            if not text.startswith(row, at):
                grown = row.startswith(text[at:])
                return grown, (len(text) if grown else at) - first
            at += len(row)
        return at >= len(text), at - first

    def _known(self, rows: Sequence[str], index: int, position: int) -> tuple[int, int | None]:
        """How much of a row is on the tape from `position` on, and where; (0, None) if it isn't there."""
        row, text = rows[index], self._text
        at = position - self.start
        if text.startswith(row, at):
            return len(row), position
        rest = len(text) - at
        if rest < len(row) and row.startswith(text[at:]):
            return rest, position
        hit = text.find(row, at + 1)
        if hit >= 0 and (len(row) >= _SURE or self._followed(rows, index, hit + len(row))):
            return len(row), hit + self.start
        return 0, None

    def _followed(self, rows: Sequence[str], index: int, at: int) -> bool:
        if index + 1 < len(rows):
            return self._text.startswith(rows[index + 1], at)
        return at == len(self._text)

    def _goes_on(self, rows: Sequence[str], index: int, position: int) -> bool:
        """Whether any later row is still ahead on the tape: then what is here was changed in place."""
        ahead = position - self.start
        return any(len(row) >= _SURE and self._text.find(row, ahead) >= 0 for row in rows[index : index + _RUN])

    def _shown_before(self, rows: Sequence[str], position: int) -> int:
        """How many characters right before `position` are the first of `rows`, and the next one is at `position`."""
        at = position - self.start
        before = ""
        for row in rows:
            if self._text.startswith(row, at) and self._text.endswith(before, 0, at):
                return len(before)
            before += row
            if len(before) > at:
                break
        return 0

    def _inserted(self, rows: Sequence[str], index: int, position: int) -> Placed:
        """A row that stands where the tape says otherwise: one that grew in place, or an unknown one."""
        at = position - self.start
        if upto := self._grown(rows, index, at):
            return Placed(upto - at, upto + self.start)
        return Placed(0, position)

    def _grown(self, rows: Sequence[str], index: int, at: int) -> int | None:
        """Where the text from `at` on, that has grown to a row, ended before the next row; None if it isn't so."""
        if index + 1 >= len(rows):
            return None
        row, following = rows[index], rows[index + 1]
        upto = self._text.find(following, at, at + len(row) + len(following))
        return upto if upto > at and row.startswith(self._text[at:upto]) else None

    def _hits(self, row: str, near: int) -> list[int]:
        """Positions of `row`: the first ones from `near` on, then those before it, newest first."""
        hits: list[int] = []
        at = self._text.find(row, max(near - self.start, 0))
        while at >= 0 and len(hits) < _HITS:
            hits.append(at + self.start)
            at = self._text.find(row, at + 1)
        at = self._text.rfind(row, 0, max(near - self.start, 0) + len(row) - 1)
        while at >= 0 and len(hits) < 2 * _HITS:
            hits.append(at + self.start)
            at = self._text.rfind(row, 0, at + len(row) - 1)
        return hits

    def _run(self, rows: Sequence[str], index: int, position: int, compared: int) -> tuple[int, int, bool]:
        """Rows and characters that continue the tape from `position`, and whether none contradicts it, of `compared`
        rows.
        """
        count = chars = 0
        at = position - self.start
        for y, row in enumerate(rows[index : index + compared], index):
            if at >= len(self._text):
                break
            if not self._text.startswith(row, at):
                if count and (upto := self._grown(rows, y, at)):
                    at, count, chars = upto, count + 1, chars + upto - at
                    continue
                grown = row.startswith(self._text[at:])
                return (count + 1, chars + len(self._text) - at, True) if grown else (count, chars, False)
            at, count, chars = at + len(row), count + 1, chars + len(row)
        return count, chars, True


class ShiftedTape(Tape):
    """A tape with rows behind it that are not committed yet, to see which of them have left the screen."""

    def __init__(self, text: str, start: int, pending: Sequence[str]) -> None:
        position = start + len(text)
        super().__init__(text + "".join(pending), start)
        self._ends = list(itertools.accumulate((len(row) for row in pending), initial=position))[1:]

    def gone(self, position: int) -> int:
        """How many of the pending rows lie before `position`."""
        return bisect.bisect_right(self._ends, position)
