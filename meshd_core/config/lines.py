"""Where the keys of a TOML document stand: line numbers for messages.

tomllib keeps no positions. This is a light scan of headers and `key =` lines, good enough to point at a line; it
never decides what a document means. Keys inside inline tables are found by the line of the table.
"""

import re
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_KEY = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_PARTS = re.compile(_PART)
_MAX_LINE = 2000


def index_lines(text: str) -> dict[KeyPath, int]:
    """Line numbers, from 1, of the tables and keys in `text`."""
    index: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    quote: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        inside, quote = quote, _open_quote(line, quote)
        if inside or len(line) > _MAX_LINE:
            continue
        if header := _HEADER.match(line):
            table = _table(_split(header[2]), counts, is_array=header[1] == "[[")
            index.setdefault(table, number)
            if header[1] == "[[":
                index.setdefault(table[:-1], number)
        elif key := _KEY.match(line):
            path = table
            for part in _split(key[1]):
                path = (*path, part)
                index.setdefault(path, number)
    return index


def line_of(index: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of `path` or of the nearest table around it."""
    while path:
        if path in index:
            return index[path]
        path = path[:-1]
    return None


def _split(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PARTS.findall(dotted)]


def _table(parts: list[str], counts: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The full path of a header: names of arrays of tables get the index of their last element."""
    path: KeyPath = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if is_array and position == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _open_quote(line: str, quote: str | None) -> str | None:
    """Which multi-line string, if any, is open after `line`."""
    position = 0
    while True:
        if quote is None:
            starts = [(at, mark) for mark in ('"""', "'''") if (at := line.find(mark, position)) >= 0]
            if not starts:
                return None
            at, quote = min(starts)
        else:
            at = line.find(quote, position)
            if at < 0:
                return quote
            quote = None
        position = at + 3
