"""How many columns of a terminal a text takes."""

import unicodedata


def width(text: str) -> int:
    """Terminal columns that `text` takes: East Asian wide characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_of, text))


def left_of(text: str, column: int) -> str:
    """What of `text` stands left of `column`, from 0; a wide character that would reach over it does not."""
    if text.isascii():
        return text[:column]
    taken = 0
    for at, char in enumerate(text):
        taken += _of(char)
        if taken > column:
            return text[:at]
    return text


def _of(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
