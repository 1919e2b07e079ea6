"""A menu's options, read from the screen whoever drew it: a list of rows, numbered or not, one of which is marked.

Nothing is told of a list that is not understood whole: two marks (two lists), boxes to tick (Enter takes them all),
rows with the same words, numbers with gaps, a row that tells of keys, a list whose ends are not clear.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

MAX_ROWS = 40
_MARK = "❯›●"
_FRAME = re.compile(r"^( ?)[│┃]|[│┃] *$")
_RULE = re.compile(r"^ ?[╭┌─━▔]{20}")
_EDGE = re.compile(r"^ *[↑↓▲▼](?: |$)|^ ?[╰└─━▔]{3}")
"""A row that says that the list goes on there, or the edge of the dialog."""
_ROW = re.compile(rf"^ *(?:(?P<mark>[{_MARK}]) +)?(?:(?P<number>\d{{1,3}})\. +)?(?P<label>[^\s{_MARK}].*)$")
_WORDS_END = re.compile(r" {2,}|[│┃]")
"""What stands further to the right describes an option, or is no part of the list."""
_BOX_TO_TICK = re.compile(r"\[.?\]|[☐☑☒◉◯○]")
_HINT = re.compile(
    r"(?i)[(\[<]?(?:(?:press|hit|use|enter|return|esc|escape|tab|space|type|ctrl|alt|shift|arrows?)(?!\w)|[↑↓←→▲▼⏎↵])"
)
"""Such a row tells of keys: right under a list without numbers, it looks like one more option."""
_FILTER = re.compile(r"(?i)type to |search")
_ROWS_OF_AN_OPTION = 4
_ROWS_OF_A_TITLE = 12


class MarkedList(Struct, frozen=True):
    """`marked` is the index of the row that Enter would take."""

    question: str | None
    labels: tuple[str, ...]
    marked: int


class _Row(Struct, frozen=True):
    marked: bool
    number: int | None
    ends: int
    """The column at which the number ends."""
    at: int
    """The column of the label."""
    label: str

    def beside(self, other: "_Row") -> bool:
        """Whether both can be of one list, by their columns. Numbers are aligned at their beginning or at their end."""
        if (self.number is None) != (other.number is None):
            return False
        return self.at == other.at or (self.number is not None and abs(self.at - other.at) <= 2)


def marked_list(screen: str, start: int, end: int) -> MarkedList | None:
    """The list whose marked row stands between the positions `start` and `end`; None if it isn't understood."""
    rows = [_FRAME.sub(lambda frame: " " * len(frame[0]), row) for row in screen.split("\n")]
    first, last = screen.count("\n", 0, start), screen.count("\n", 0, end)
    rules = [number for number in range(first, last) if _RULE.match(rows[number])]
    found = [number for number in range(rules[-1] + 1 if rules else first, last + 1) if _is_marked(rows[number])]
    if len(found) != 1:
        return None
    middle = _row(rows[found[0]])
    if middle is None:
        return None
    walk = _numbered if middle.number is not None else _plain
    above, below = walk(rows, found[0], middle, -1), walk(rows, found[0], middle, 1)
    if above is None or below is None:
        return None
    options = [*reversed(above), found[0], *below]
    labels = tuple(row.label for row in map(_row, (rows[number] for number in options)) if row is not None)
    if len(labels) < 2 or len(set(labels)) != len(labels) or any(_BOX_TO_TICK.match(label) for label in labels):
        return None
    if middle.number is None and any(_HINT.match(label) for label in labels):
        return None
    return MarkedList(_question(rows, options[0]), labels, len(above))


def _row(text: str) -> _Row | None:
    match = _ROW.match(text)
    if match is None:
        return None
    number = match["number"]
    return _Row(
        marked=match["mark"] is not None, number=None if number is None else int(number), ends=match.end("number"),
        at=match.start("label"), label=_WORDS_END.split(match["label"], maxsplit=1)[0].strip(),
    )  # fmt: skip


def _is_marked(text: str) -> bool:
    return text.lstrip()[:1] in tuple(_MARK)


def _numbered(rows: list[str], middle: int, marked: _Row, step: int) -> list[int] | None:
    """The rows of the options above or below the marked one, the nearest first; None: its end is not clear."""
    found: list[int] = []
    wanted, between, blank = (marked.number or 0) + step, 0, False
    for number in range(middle + step, middle + step * MAX_ROWS, step):
        text = rows[number] if 0 <= number < len(rows) else ""
        row = _row(text)
        if row is not None and row.number == wanted and row.beside(marked) and not row.marked:
            found.append(number)
            wanted, between, blank = wanted + step, 0, False
        elif wanted == 0 or _EDGE.match(text):
            return found
        elif not text.strip():
            if blank or not 0 <= number < len(rows):
                return found if step > 0 else None
            blank = True
        elif blank:
            return found if step > 0 else None
        elif _describes(text, marked) and between < _ROWS_OF_AN_OPTION:
            between += 1
        else:
            return None
    return None


def _describes(text: str, marked: _Row) -> bool:
    """Whether the row tells more of an option: indented as far as its label, and no option itself."""
    row = _row(text)
    return len(text) - len(text.lstrip()) >= marked.at and (row is None or not row.marked)


def _plain(rows: list[str], middle: int, marked: _Row, step: int) -> list[int] | None:
    found: list[int] = []
    for number in range(middle + step, middle + step * MAX_ROWS, step):
        text = rows[number] if 0 <= number < len(rows) else ""
        if not text.strip() or _EDGE.match(text):
            return found
        row = _row(text)
        if row is None or row.marked or not row.beside(marked):
            return None
        found.append(number)
    return None


def _question(rows: list[str], first: int) -> str | None:
    """The first row of the nearest paragraph above the list: its title."""
    for paragraph in _paragraphs(rows, first):
        title = _WORDS_END.split(paragraph.strip().lstrip("?> "), maxsplit=1)[0]
        if title and not _FILTER.match(title):
            return title
    return None


def _paragraphs(rows: list[str], first: int) -> Iterator[str]:
    """The first rows of the paragraphs above row `first`, the nearest first."""
    head: str | None = None
    for text in reversed(rows[max(0, first - _ROWS_OF_A_TITLE) : first]):
        if _RULE.match(text):
            break
        if text.strip() and not _EDGE.match(text):
            head = text
        elif head is not None and not text.strip():
            yield head
            head = None
    if head is not None:
        yield head
