"""Rows that change in place without becoming text: spinners, clocks, counters."""

import re
from collections.abc import Sequence

WINDOW_S = 4.0
_TIMES = 2
_MOST_ROWS = 4
"""Of a screen that change at a time; where more do, text has moved."""
_DIGITS = re.compile(r"\d+")
_SYMBOLS = re.compile(r"[^\w\s]+")


def shape(text: str) -> str:
    """What stays of a row while its spinner turns and its clock runs."""
    return _SYMBOLS.sub("*", _DIGITS.sub("0", text)).strip()


class VolatileRows:
    """Remembers when each row last changed in place: to a text of the same shape, neither moved nor grown."""

    def __init__(self) -> None:
        self._texts: Sequence[str] = ()
        self._changes: dict[int, list[float]] = {}

    def forget(self) -> None:
        """What was seen is no measure for what comes: the screen scrolled or was cleared."""
        self._texts = ()
        self._changes.clear()

    def look(self, texts: Sequence[str], now: float) -> frozenset[int]:
        """Take the rows of a sample; which of them are volatile: changed in place twice within `WINDOW_S`."""
        before, self._texts = self._texts, texts
        changed = [y for y, (old, new) in enumerate(zip(before, texts, strict=False)) if old != new]
        if len(changed) > _MOST_ROWS:
            self._changes.clear()
            return frozenset()
        # A row that was not there a moment ago is another one than stood in its place before.
        for y in [y for y in self._changes if y >= min(len(before), len(texts))]:
            del self._changes[y]
        shown, was_shown = frozenset(texts), frozenset(before)
        for y in changed:
            old, new = before[y], texts[y]
            if old in shown or new in was_shown or new.startswith(old) or shape(old) != shape(new):
                self._changes.pop(y, None)
            else:
                self._changes[y] = [*self._changes.get(y, [])[1 - _TIMES :], now]
        since = now - WINDOW_S
        return frozenset(y for y, times in self._changes.items() if len(times) >= _TIMES and times[0] > since)
