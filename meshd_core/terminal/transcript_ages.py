"""For how long each row has been seen. A program that draws all again takes its rows away for a moment."""

from collections.abc import Hashable

from msgspec import Struct

AWAY_S = 0.1
"""A row that is away for no longer goes on from the age that it had; once, or one that blinks would settle."""


class _Seen(Struct):
    since: float
    away_at: float | None = None
    came_back: bool = False


class RowAges:
    """Remembers the rows of the last look and those that have gone a moment ago."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, _Seen] = {}
        self._now: set[Hashable] = set()

    def since(self, row: Hashable, now: float) -> float:
        """`row` is seen at `now`: since when, without the time that it was away."""
        self._now.add(row)
        seen = self._seen.setdefault(row, _Seen(now))
        if seen.away_at is not None:
            age = 0.0 if seen.came_back or now - seen.away_at > AWAY_S else seen.away_at - seen.since
            seen = self._seen[row] = _Seen(now - age, came_back=age > 0)
        return seen.since

    def looked(self, now: float) -> None:
        """All rows were named: the others are away."""
        for row, seen in list(self._seen.items()):
            if row not in self._now:
                seen.away_at = now if seen.away_at is None else seen.away_at
                if seen.came_back or now - seen.away_at > AWAY_S:
                    del self._seen[row]
        self._now.clear()
