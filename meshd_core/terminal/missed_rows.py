"""Rows that went by unseen, from the agent's own words.

An agent on the alternate screen may draw the end of an answer only, and never the rows above it; one that prints may
draw over some of them at once. Where its records have the answer, the lines between what was told and what stands on
the screen now can still be told.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

_SURE = 6
"""Letters and digits by which a row is found again."""
_ANCHORS = 4
_TAILS = (200, 100, 50, 25, 12, _SURE)
_NEIGHBOURS = 3
_FIRST = 12
MAX_WORDS = 200_000
"""Characters of an agent's words that are looked through: at most, the last ones."""
MAX_LINE = 16_384
"""Characters of one line; a longer one is told in pieces."""
_CONTROLS = {code: " " if code == 9 else None for code in (*range(32), *range(127, 160))}


class Unseen(str):
    """Stands among lines where rows may have gone by untold. Its text is the end of what was told before."""

    __slots__ = ("at", "drawn_over", "fill", "lost", "since")

    def __new__(
        cls, told: str, at: int, fill: Callable[[int, Sequence[str]], int], *, lost: bool = False,
        drawn_over: bool = False,
    ) -> "Unseen":  # fmt: skip
        """`at`: where the rows belong on the tape, which `fill` puts them on."""
        one = super().__new__(cls, told)
        one.at, one.fill, one.lost, one.drawn_over, one.since = at, fill, lost, drawn_over, None
        return one

    at: int
    fill: Callable[[int, Sequence[str]], int]
    lost: bool
    """Whether it is known that there were any."""
    drawn_over: bool
    """Whether they stood on the screen for a moment, and may not have been meant to stay."""
    since: float | None
    """When it began to wait for an answer."""


def bare(text: str) -> str:
    """Letters and digits alone: what is left of a text whether or not its markup was drawn."""
    return "".join(filter(str.isalnum, text))


def missed_lines(words: str, prompt: str, told: str, rows: Sequence[str]) -> list[str] | None:
    """The lines of `words`, said since `prompt`, that come after what was `told` and before `rows`, which stand on the
    screen.

    None where that can't be said for sure: a line that is left out is better than one that is told twice.
    """
    lines = words[-MAX_WORDS:].split("\n")
    parts = [bare(line) for line in lines]
    whole = "".join(parts)
    end = _end_of(_since(bare(prompt), bare(told), whole), whole, parts)
    upto = None if end is None else _start_of(rows, whole, end)
    if end is None or upto is None:
        return None
    starts = list(accumulate(map(len, parts), initial=0))
    found = [
        _between(line, end - start, upto - start)
        for line, start, after in zip(lines, starts, starts[1:], strict=False)
        if (after > end and start < upto) or (start == after and end < start < upto)
    ]
    while found and not found[-1].strip():
        found.pop()
    return [line[at : at + MAX_LINE] for line in found for at in range(0, max(len(line), 1), MAX_LINE)]


def _since(prompt: str, told: str, whole: str) -> str:
    """What was told after the echo of `prompt`, as far as that is sure: an answer may quote it."""
    at = told.rfind(prompt)
    return told if at < 0 or prompt in whole else told[at + len(prompt) :]


def _end_of(told: str, whole: str, parts: Sequence[str]) -> int | None:
    """Up to where `whole` was told; None if some of it was, but it can't be said how much."""
    for size in _TAILS:
        tail = told[-size:]
        if len(tail) == size and (at := whole.rfind(tail)) >= 0:
            return at + size if whole.find(tail) == at else None
    if any(len(part) >= _SURE and part in told for part in parts):
        return None
    first = accumulate(parts[:_FIRST])  # Lines that are too short to be found by themselves.
    return max((len(text) for text in first if told.endswith(text)), default=0)


def _start_of(rows: Sequence[str], whole: str, after: int) -> int | None:
    """Where the first of `rows` that are found begin, at `after` or later; with the rows below it, as text repeats."""
    shown = [bare(row) for row in rows]
    for index, row in enumerate(shown[:_ANCHORS]):
        for more in range(_NEIGHBOURS, 0, -1):
            text = "".join(shown[index : index + more])
            if len(row) >= _SURE and (at := whole.find(text, after)) >= 0:
                if whole.find(text, at + 1) >= 0:
                    return None
                for above in reversed(shown[:index]):  # too short to be found by itself
                    at -= len(above) if whole.endswith(above, after, at) else 0
                return at
    return None


def _between(line: str, first: int, last: int) -> str:
    """`line` from its letter or digit number `first` up to number `last`, both if they are inside."""
    seen = 0
    begin, end = 0, len(line)
    for index, char in enumerate(line):
        if not char.isalnum():
            continue
        if seen == first and first > 0:
            begin = index
        if seen == last:
            end = index
            break
        seen += 1
    return line[begin:end].translate(_CONTROLS).rstrip()
