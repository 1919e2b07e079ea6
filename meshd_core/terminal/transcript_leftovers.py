"""What a program leaves of its earlier drawing when the terminal's size changes.

Text on the primary screen is cut anew by a new width. A program that draws in place goes up by as many rows as it has
drawn, finds itself too low, and draws all again below what is left. So the beginning of what stood there before the
resize may stand there several times, each directly below the last and each maybe longer; the last time it goes on to
its end and past it.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

_LEAST = 8
"""Characters of a text that is there again; shorter ones are said too often."""


class _Run(NamedTuple):
    """Rows from `first` on that are there one after the other, and whether they reach the end."""

    first: int
    places: list[int]
    ends: bool


class Leftovers:
    """Finds what had stood on the screen before a resize, however often it stands there after it."""

    def __init__(self) -> None:
        self._text = ""
        self._starts: list[int] = []
        """Where its rows begin: there, what stands there again begins as well."""
        self._told = 0
        self._next: int | None = None
        """Where the first row of the screen is if it goes on from the one that left the screen last."""

    def begin(self) -> None:
        """The size changes: what stands on the screen is added."""
        self._text, self._starts, self._told, self._next = "", [], 0, None

    def add(self, row: str, place: int | None = None) -> int:
        """Add a row, or what of it isn't there from `place` on; returns its place."""
        if place is None:
            place = len(self._text)
            self._starts.append(place)
        self._text += row[len(self._text) - place :]
        return place

    def find(self, rows: Sequence[str]) -> list[int | None]:
        """Where in that text each of compact `rows` begins. None: not there, or there by chance, as what goes on
        neither to the end of that text nor to where it begins again.
        """
        runs = self._runs(rows)
        while grown := self._grown(rows, runs):
            self._text += grown
            runs = self._runs(rows)
        found: list[int | None] = [None] * len(rows)
        follows = -1
        """Index of the run below, if it counts."""
        for run in reversed(runs):
            behind = run.first + len(run.places)
            if run.ends or behind == follows:
                found[run.first : behind] = run.places
                follows = run.first
            else:
                follows = -1
        return found

    def told(self, row: str, place: int | None) -> int:
        """How many of the first characters of `row`, which is at `place`, have been told."""
        return 0 if place is None else min(max(self._told - place, 0), len(row))

    def tell(self, place: int, chars: int) -> None:
        """So many characters from `place` on have been told now. What comes before them has been, or never is."""
        self._told = max(self._told, min(place + chars, len(self._text)))

    def left(self, row: str, place: int | None) -> None:
        """`row` has left the screen."""
        self._next = None if place is None else place + len(row)

    def goes_on(self, row: str, place: int | None) -> bool:
        """Whether `row` was there before the resize and has grown."""
        return place is not None and place + len(row) > len(self._text)

    def _runs(self, rows: Sequence[str]) -> list[_Run]:
        runs: list[_Run] = []
        index = 0
        while index < len(rows):
            run = self._run(rows, index)
            if run.places:
                runs.append(run)
            index += max(len(run.places), 1)
        return runs

    def _grown(self, rows: Sequence[str], runs: Sequence[_Run]) -> str:
        """What stands behind the end of that text and is there again the next time that the end is reached."""
        text = "".join(rows)
        starts = [0, *accumulate(map(len, rows))]
        ends = {run.first: starts[run.first] + len(self._text) - run.places[0] for run in runs if run.ends}
        for run, following in pairwise(runs):
            if run.ends and (later := next((at for index, at in ends.items() if index > run.first), None)):
                grown = text[ends[run.first] : starts[following.first]]
                if grown and text.startswith(grown, later):
                    return grown
        return ""

    def _run(self, rows: Sequence[str], index: int) -> _Run:
        """Those rows from `index` on that are there one after the other: the first such that reach the end, or the most
        of all.
        """
        if index == 0 and self._next is not None and (run := self._run_from(rows, index, self._next)).places:
            return run
        best = _Run(index, [], ends=False)
        key = "".join(rows[index : index + _LEAST])[:_LEAST]
        for at in self._starts if len(key) == _LEAST else ():
            if not self._text.startswith(key, at):
                continue
            run = self._run_from(rows, index, at)
            if run.ends:
                return run
            best = max(best, run, key=lambda run: len(run.places))
        return best

    def _run_from(self, rows: Sequence[str], index: int, at: int) -> _Run:
        """Those rows from `index` on that are there one after the other from `at` on."""
        places: list[int] = []
        for row in rows[index:]:
            known = row if self._text.startswith(row, at) else self._text[at:]
            if not known or not row.startswith(known):
                break
            places.append(at)
            at += len(known)
        return _Run(index, places, ends=bool(places) and at == len(self._text))
