"""What people read: tables and times; and what programs read: JSON.

Text that comes from an agent never reaches the terminal with its control characters.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
import msgspec

from meshd_core.columns import left_of, width

_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}
_BIDI = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}")
_UNSAFE = _CONTROLS | _BIDI


def clean(text: str) -> str:
    """`text` without control characters, so that it can't do anything to the terminal; tabs stay."""
    return text if text.isprintable() else text.translate(_UNSAFE)


def show_json(value: object) -> None:
    """`value` as one JSON document on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, columns as wide as their widest cell; the last is cut to the terminal if it is one."""
    for line in table_lines(headings, rows, _terminal_columns()):
        click.echo(line)


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], limit: int | None) -> list[str]:
    """The lines of a table, each of at most `limit` columns."""
    cells = [list(headings), *([clean(cell).replace("\t", " ") for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return [line if limit is None else cut(line, limit) for line in lines]


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values below each other, on stdout."""
    wide = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:<{wide}}  {clean(value)}".rstrip())


def cut(text: str, columns: int) -> str:
    """`text` in at most `columns` columns, with an ellipsis where something was left out."""
    if width(text) <= columns:
        return text
    return left_of(text, columns - 1) + "…"


def age(since: str | None, now: datetime | None = None) -> str:
    """How long ago the wire's time `since` was, in the two units that matter: `12s`, `3m 5s`, `2h 1m`, `4d 3h`."""
    if since is None:
        return "-"
    try:
        seconds = int(((now or datetime.now(UTC)) - datetime.fromisoformat(since)).total_seconds())
    except (ValueError, TypeError):
        return "?"
    seconds = max(0, seconds)
    for unit, size, smaller, small in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size}{unit} {rest}{smaller}" if rest else f"{seconds // size}{unit}"
    return f"{seconds}s"


def _terminal_columns() -> int | None:
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
