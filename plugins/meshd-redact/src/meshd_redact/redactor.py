"""Removes secrets from lines, also those that a line break cuts in two. One line in, one line out, in order.

A line break may be one that a terminal or a program put inside a secret. So each line is looked at twice: alone, and
joined to what came before it, without the spaces and frames around the break. A line whose end may be the beginning of
a secret is held back until the next line tells, or until nothing comes any more.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from meshd_redact.key_lines import KeyLines
from meshd_redact.lines import Line, Span
from meshd_redact.shapes import KEY_BEGIN, KEY_NEEDLE, SHORT, Shape

MAX_HELD_LINES = 80
MAX_JOINED_CHARS = 16 * 1024
MAX_LINE_CHARS = 64 * 1024
MAX_OPEN_LINES = 64
"""After so many lines in a row that a fresh redactor could not do without, nothing is held at the next one: a crash
replays from there, and what the terminal's journal holds is bounded.
"""
TOO_LONG = "[output withheld: a line is too long to be judged]"
TOO_SLOW = "[output withheld: it could not be judged in time]"
_PROSE = re.compile(r"[A-Z]?[a-z]{1,15}")
"""A word that begins a line after one that ended with a whole secret: more likely text than more of the secret."""
_LAST_CHARS = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z0-9_.-]{1,3}\Z")


class Finder(Protocol):
    """The search for one shape. Both raise TimeoutError."""

    def find(self, shape: Shape, text: str, partial: bool) -> Iterable["Found"]:
        """The matches in `text`, with `partial` also an unfinished one at its end."""

    def at_begin(self, shape: Shape, text: str) -> "Found | None":
        """The match that `text` begins with, be it an unfinished one."""


class Found(NamedTuple):
    span: Span
    removed: Span
    """What of it is removed."""
    partial: bool


class Redactor:
    """One stream of lines. The same lines give the same result; only `release` depends on time."""

    def __init__(self, shapes: Sequence[Shape], replacement: str, finder: Finder, *, keys: bool = True) -> None:
        self._shapes, self._replacement, self._finder = shapes, replacement, finder
        self._needles = tuple(
            {needle for shape in shapes for needle in shape.needles} | ({KEY_NEEDLE} if keys else set())
        )
        self._always = any(not shape.needles for shape in shapes)
        self._heads = {
            needle[:size] for shape in shapes if shape.eager for needle in shape.needles for size in range(1, SHORT)
        }
        self._key = KeyLines() if keys else None
        self._held: list[Line] = []
        self._shown = ""
        """The end of what was shown, as far as it may belong to a secret that goes on."""
        self._starts: list[int] = []
        """Where in `_shown` lines begin: a token may begin there, whatever stands before it."""
        self._unfinished: list[Span] = []
        """Where in the joined text beginnings of secrets lie that must not be shown as they are."""
        self._is_open = False
        self._open_lines = 0

    @property
    def is_open(self) -> bool:
        """Whether lines are held back, or a fresh redactor would judge the next line differently."""
        return bool(self._held) or self._is_open

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def feed(self, text: str) -> list[str]:
        """The lines that can be shown now."""
        line = Line(text)
        if self._key is not None and self._key.takes(line):
            shown = [*self.release(), line.shown(self._replacement)]
            self._forget(is_open=self._key.is_open)
        elif len(text) > MAX_LINE_CHARS:
            shown = [*self.release(), TOO_LONG]
            self._forget()
        elif not (self._held or self._always) and not self._has_needle(self._shown + line.body):
            shown = self._plain(line)
        else:
            shown = self._judged(line)
        self._open_lines = self._open_lines + 1 if self.is_open else 0
        if self._open_lines > MAX_OPEN_LINES and not (self._key is not None and self._key.is_open):
            # Only a fresh redactor, after a crash right here, does without what `_shown` knows.
            shown += self.release()
            self._is_open, self._open_lines = False, 0
        return shown

    def release(self) -> list[str]:
        """Nothing came for a while: show what is held, without what may well be the beginning of a secret."""
        for low, high in self._unfinished:
            self._mark(low, high)
        self._unfinished = []
        return self._show(len(self._held), len(self._joined()))

    def _has_needle(self, text: str) -> bool:
        low = text.lower()
        return any(needle in low for needle in self._needles)

    def _plain(self, line: Line) -> list[str]:
        """A line that neither has a secret, nor the end or the beginning of one of `SHORT` characters."""
        joined = self._shown + line.body
        word = max(joined.rfind(" ") + 1, len(joined) - SHORT - 1)
        border = len(self._shown)
        self._starts = [start - word for start in (*self._starts, border) if start >= word]
        self._shown, self._unfinished = joined[word:], []
        last = _LAST_CHARS.search(joined)
        self._is_open = last is not None and last[0].lower() in self._heads
        return [line.text]

    def _judged(self, line: Line) -> list[str]:
        try:
            return self._judge(line)
        except TimeoutError:
            # Neither this line nor what was held is known to be free of secrets.
            count = len(self._held)
            self._forget()
            return [TOO_SLOW] * (count + 1)

    def _judge(self, line: Line) -> list[str]:
        border = len(self._joined())
        starts = [*self._starts, *self._line_starts(), border]
        joined = self._joined() + line.body
        low = joined.lower()
        shapes = [shape for shape in self._shapes if not shape.needles or any(n in low for n in shape.needles)]
        whole = [found for shape in shapes for found in self._finder.find(shape, line.clean, False)]
        across = [(shape, found) for shape in shapes for found in self._across(shape, joined, starts)]
        prose = {found for shape, found in across if self._is_prose_after(joined, shape, found, border)}
        line.spans += [found.removed for found in whole]
        self._held.append(line)
        self._unfinished, self._is_open = [], False
        start = context = len(joined)
        for shape, found in across:
            first, last = found.span
            if not found.partial:
                self._mark(found.removed[0], border if found in prose else found.removed[1])
                if last == len(joined) and found not in prose:
                    context, self._is_open = min(context, first), True
                continue
            sure = border if first < border and _PROSE.fullmatch(joined[border:last]) else last
            if 0 < shape.eager <= sure - first:
                self._unfinished.append((first, sure))
            if last - first >= SHORT:
                start, self._is_open = min(start, first), True
            elif shape.eager:
                self._is_open = True
            context = min(context, first)
        if self._key is not None:
            start = self._begin_key(joined, border, start)
        if len(self._held) > MAX_HELD_LINES or len(joined) > MAX_JOINED_CHARS:
            return self.release()
        return self._show(self._before(start), context)

    def _begin_key(self, joined: str, border: int, start: int) -> int:
        """Look for the beginning of a private key, or of such a beginning; where holding back must start."""
        assert self._key is not None
        for match in KEY_BEGIN.finditer(joined, partial=True):
            first, last = match.span()
            if match.partial:
                self._is_open = self._is_open or last - first >= SHORT
                return min(start, first) if last - first >= SHORT else start
            self._mark(first, last)
            if last > border:
                rest = self._key.begin(self._held[-1], last - border)
                self._held[-1].spans.append(rest)
                self._is_open = self._is_open or self._key.is_open
        return start

    def _across(self, shape: Shape, joined: str, starts: Sequence[int]) -> list[Found]:
        """Matches in the joined text, and those that begin where a line does, whatever stands before it."""
        across = list(self._finder.find(shape, joined, True))
        wholes = [found.span for found in across if not found.partial]
        for start in starts if shape.eager else ():
            # Within a whole match, only the newest line's begin may tell more: lines of tokens would be matched from
            # each to the end.
            if not start or (start != starts[-1] and any(first < start < last for first, last in wholes)):
                continue
            if (found := self._finder.at_begin(shape, joined[start:])) is not None:
                across.append(Found(_moved(found.span, start), _moved(found.removed, start), found.partial))
                if not found.partial:
                    wholes.append(across[-1].span)
        return across

    def _is_prose_after(self, joined: str, shape: Shape, found: Found, border: int) -> bool:
        """Whether a secret that was whole before the line break only seems to go on in the new line."""
        low, high = found.removed
        if found.partial or not low < border < high or _PROSE.fullmatch(joined[border:high]) is None:
            return False
        first = found.span[0]
        return any(first + other.span[1] == border for other in self._finder.find(shape, joined[first:border], False))

    def _joined(self) -> str:
        return self._shown + "".join(line.body for line in self._held)

    def _line_starts(self) -> list[int]:
        at, starts = len(self._shown), []
        for line in self._held:
            starts.append(at)
            at += len(line.body)
        return starts

    def _before(self, start: int) -> int:
        """How many of the held lines end before `start`."""
        at = len(self._shown)
        for count, line in enumerate(self._held):
            at += len(line.body)
            if at > start:
                return count
        return len(self._held)

    def _show(self, count: int, context: int) -> list[str]:
        """The first `count` held lines; what of them may belong to a secret from `context` on is remembered."""
        joined, starts = self._joined(), [*self._starts, *self._line_starts()]
        gone = len(self._shown) + sum(len(line.body) for line in self._held[:count])
        begin = max(min(context, joined.rfind(" ", 0, gone) + 1), gone - MAX_JOINED_CHARS)
        begin = max(0, min(begin, gone))
        self._unfinished = [(max(low - begin, 0), high - begin) for low, high in self._unfinished]
        self._starts = [start - begin for start in starts if begin <= start < gone]
        self._shown = joined[begin:gone]
        shown = [line.shown(self._replacement) for line in self._held[:count]]
        del self._held[:count]
        return shown

    def _mark(self, low: int, high: int) -> None:
        """Have `joined[low:high]` removed from every held line that has a part of it."""
        at = len(self._shown)
        for line in self._held:
            first, last = max(low, at), min(high, at + len(line.body))
            if first < last:
                line.spans.append(_moved((first - at, last - at), line.lead))
            at += len(line.body)

    def _forget(self, *, is_open: bool = False) -> None:
        self._held, self._shown, self._starts, self._unfinished = [], "", [], []
        self._is_open = is_open


def _moved(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by
