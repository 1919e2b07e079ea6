"""Rows that were drawn over before they were told, by rows that had stood below them.

Gemini CLI, which prints, erases too much when an answer is complete: the end of it then stands where the rows above it
had stood, which are gone.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise


class OverdrawnRows:
    """Remembers the rows that moved up over others, until they are told."""

    def __init__(self) -> None:
        self._above: set[str] = set()

    def look(self, rows: Sequence[str], before: Sequence[str], waiting: Collection[str]) -> None:
        """`rows` are seen where `before` was seen, of which those that are `waiting` were not told yet."""
        there = set(rows)
        self._above &= there
        gone = set(waiting) - there
        if not gone:
            return
        places = {row: place for place, row in enumerate(before)}
        for above, row in pairwise(rows):
            if above in places and row in places:
                between = before[places[above] + 1 : places[row]]
                if gone.intersection(between) and there.isdisjoint(between):
                    self._above.add(row)

    def take(self, row: str) -> bool:
        """Whether something may be missing above `row`, which is being told."""
        found = row in self._above
        self._above.discard(row)
        return found
