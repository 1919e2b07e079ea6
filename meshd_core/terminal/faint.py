"""The text of a screen without its faint cells: placeholders and suggestions look like input, but nobody typed them."""

import re

_ATTRIBUTES = re.compile(r"\x1b\[([0-9;:]*)m")
_CURSOR = re.compile(r"\x1b\[0?m\x1b\[7[0-9;:]*m(?:\x1b\[[0-9;:]*m)*[^\x1b\n](?=\x1b\[0?m\x1b\[2m)")
"""One inverse character right before faint ones: the cursor that a program draws on the first of them."""
_WORDS = re.compile(r"[^\n\u2500-\u259f]")
"""Not frames: an input box is known by them, faint or not."""
_COLOURS = ("38", "48", "58")
_LENGTHS = {"5": 3, "2": 5}


def without_faint(formatted: str) -> str:
    """`formatted`, rows of text with SGR sequences and nothing else, as plain rows; faint text became blanks."""
    parts = _ATTRIBUTES.split(_CURSOR.sub(" ", formatted.replace("\r\n", "\n")))
    made, faint = [parts[0]], False
    for attributes, text in zip(parts[1::2], parts[2::2], strict=True):
        faint = _is_faint(attributes.split(";"), faint)
        made.append(_WORDS.sub(" ", text) if faint else text)
    return "\n".join(row.rstrip() for row in "".join(made).split("\n")).rstrip()


def _is_faint(codes: list[str], faint: bool) -> bool:
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in _COLOURS and at + 1 < len(codes):
            at += _LENGTHS.get(codes[at + 1], 1)
            continue
        if code == "2":
            faint = True
        elif code in ("", "0", "22"):
            faint = False
        at += 1
    return faint
