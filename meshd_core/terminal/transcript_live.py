"""Which rows of a screen are text for the transcript, by a kind's `TranscriptRules`.

Below the live line lie the input box, dialogs and status: they are drawn again and again and are never lines.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from meshd_core.columns import width
from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript_tape import compact

_KNOWN_ROWS, _KNOWN_CHARS = 256, 500
"""Most rows of a screen are those of the screen before; longer ones are judged anew."""


class Judged(NamedTuple):
    """A row as a line: no gutters, no trailing or no-break spaces; `compact` is empty for an empty one.

    `echo`: it is an echoed prompt, which can't grow.
    """

    text: str
    compact: str
    echo: bool


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.MULTILINE) if patterns else None


_ORNAMENT = re.compile(r"(?=.*\S)[ \u2580-\u259f\u2800-\u28ff]+\Z|[\u2580-\u2595 ]*[\u2596-\u259f]")
"""A row of nothing but block elements and braille patterns (a logo, an edge, a bar), or one that begins with a logo: of
quadrants no bar is made.
"""
_BAR = re.compile(r" *[│┃]\Z")
"""A gutter with nothing beside it: an empty row."""
_GUTTER = re.compile(r" *[│┃▌▎▏]")
_EDGE = re.compile(r" *[╭╰┌└┏┗╔╚╹]?([─━═╌╍▀▄▁▔])\1{19}")


def box_row(rows: Sequence[str], cursor: int) -> int | None:
    """The first row of the box that the cursor, in row `cursor`, stands in: without empty rows, with an edge below, and
    an edge above or a bar at its left. None if it stands in no box.
    """
    if not any(map(_EDGE.match, takewhile(str.strip, rows[cursor + 1 :]))):
        return None
    gutter = _GUTTER.match(rows[cursor])
    bar = gutter[0] if gutter else ""
    first = cursor
    while first and rows[first - 1].strip() and rows[first - 1].startswith(bar):
        first -= 1
        if _EDGE.match(rows[first]):
            return first
    return first if gutter else None


class RowRules:
    """The compiled rules. Raises `re.error` for a pattern that isn't a regular expression."""

    def __init__(self, rules: TranscriptRules) -> None:
        self.empty = not (rules.live or rules.drop or rules.strip or rules.echo or rules.panel)
        self._live = [re.compile(pattern, re.MULTILINE) for pattern in rules.live]
        self._drop = _any_of(rules.drop)
        self._strip = _any_of(rules.strip)
        self._echo = _any_of(rules.echo)
        self._panel = _any_of(rules.panel)
        self._known = lru_cache(_KNOWN_ROWS)(self._judge)

    def live_row(self, rows: Sequence[str]) -> int | None:
        """The first live row: the earliest of the patterns' last matches; None if nothing matches."""
        text = "\n".join(rows)
        first: int | None = None
        for pattern in self._live:
            start = -1
            for match in pattern.finditer(text):
                start = match.start()
            if start >= 0 and (first is None or start < first):
                first = start
        return None if first is None else text.count("\n", 0, first)

    def entry_row(self, rows: Sequence[str], emulator: Emulator, *, final: bool = False) -> int | None:
        """The first row of what the cursor stands in, where no pattern matches: what is typed there is no text yet, or
        never. None if nothing is. `final`: a row is text now, but for a box on the primary screen. On the alternate
        screen, for kinds that know patterns.
        """
        if emulator.alternate and (final or not self._live or not emulator.cursor_shown):
            return None
        cursor = emulator.cursor[0]
        if not self.empty and (box := box_row(rows, cursor)) is not None:
            return box
        if emulator.alternate:  # At the top it is wherever the program has left it.
            return cursor if cursor >= len(rows) // 2 else None
        return None if final else cursor

    def panel_column(self, rows: Sequence[str]) -> int | None:
        """The column that a panel beside the text begins in, from 0; None if there is none."""
        if self._panel is None or (match := self._panel.search("\n".join(rows))) is None:
            return None
        start = match.start(match.lastindex or 0)
        return width(match.string[match.string.rfind("\n", 0, start) + 1 : start])

    def judged(self, row: str) -> Judged | None:
        """A row, as drawn; None for one that is never a line."""
        return self._known(row) if len(row) <= _KNOWN_CHARS else self._judge(row)

    def _judge(self, row: str) -> Judged | None:
        if (self._drop and self._drop.search(row)) or (not self.empty and _ORNAMENT.match(row)):
            return None
        text = self._strip.sub("", row) if self._strip else row
        text = text.replace("\xa0", " ").rstrip()
        if not self.empty and _BAR.match(text):
            text = ""
        return Judged(text, compact(text), bool(self._echo and self._echo.search(row)))
