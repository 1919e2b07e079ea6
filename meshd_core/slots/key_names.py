"""Names of keys and the bytes that a terminal sends for them.

Names are tmux's (`Enter`, `Escape`, `C-c`, `M-x`, `S-Tab`, `F5`, `PageUp`); any other single character stands for
itself. `C-` goes with a to z and `@[\\]^_` alone: other keys have no control byte. Source of the bytes: xterm's control
sequences, "PC-style function keys".
"""

import difflib
from collections.abc import Iterator, Sequence

from meshd_core.errors import InvalidField

_PLAIN = {
    "Enter": "\r",
    "Escape": "\x1b",
    "Tab": "\t",
    "Space": " ",
    "Backspace": "\x7f",
    "S-Tab": "\x1b[Z",
    "Insert": "\x1b[2~",
    "Delete": "\x1b[3~",
    "PageUp": "\x1b[5~",
    "PageDown": "\x1b[6~",
    "F1": "\x1bOP",
    "F2": "\x1bOQ",
    "F3": "\x1bOR",
    "F4": "\x1bOS",
    **{
        f"F{number}": f"\x1b[{code}~"
        for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
}
_CURSOR = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"
"""`C-x` is the place of x in this row: C-@ is 0, C-a is 1, C-_ is 31."""
NAMES = (*_PLAIN, *_CURSOR)


def strokes(keys: Sequence[str], *, application_cursor: bool) -> Iterator[bytes]:
    """What is written for `keys`: one item for what may go in one write.

    A lone Escape ends an item: what follows it in one write would be read as a key with Alt. `application_cursor`:
    whether the program has that mode on (DECCKM), in which arrows are sent in another way. Raises InvalidField.
    """
    item = ""
    for key in keys:
        item += _sequence(key, application_cursor)
        if key == "Escape":
            yield item.encode()
            item = ""
    if item:
        yield item.encode()


def _sequence(key: str, application_cursor: bool) -> str:
    if key in _PLAIN:
        return _PLAIN[key]
    if key in _CURSOR:
        return f"\x1b{'O' if application_cursor else '['}{_CURSOR[key]}"
    if len(key) == 1 and key.isprintable():
        return key
    modifier, dash, rest = key.partition("-")
    if dash and modifier == "C" and len(rest) == 1 and rest.lower() in _CONTROLS:
        return chr(_CONTROLS.index(rest.lower()))
    if dash and modifier == "M" and rest:
        return "\x1b" + _sequence(rest, application_cursor)
    nearest = difflib.get_close_matches(key, NAMES, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "as Enter, Escape, C-c, Up, or a single character"
    raise InvalidField(f"there is no key {key[:40]!r}", hint=hint, field="keys")
