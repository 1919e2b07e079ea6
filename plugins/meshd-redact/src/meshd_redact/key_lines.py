"""A private key, followed line by line from its beginning on: no line of it has to wait for its end."""

from meshd_redact.lines import Line, Span
from meshd_redact.shapes import KEY_END, KEY_LINE, KEY_TEXT

MAX_LINES = 1000


class KeyLines:
    """Whether the lines now belong to a private key. Until its end mark, or the first line that is none of a key."""

    def __init__(self) -> None:
        self._lines = 0

    @property
    def is_open(self) -> bool:
        return self._lines > 0

    def begin(self, line: Line, at: int) -> Span:
        """The key's first mark ends at `at` of the body of `line`: what after it in the line is of the key."""
        self._lines = MAX_LINES
        return self._rest(line, line.lead + at)

    def takes(self, line: Line) -> bool:
        """Whether `line` is one of a key's; what of it is removed is then marked."""
        if not self._lines:
            return False
        if KEY_END.search(line.body) is None and KEY_LINE.fullmatch(line.body) is None:
            self._lines = 0
            return False
        self._lines -= 1
        if line.body:
            line.spans.append(self._rest(line, line.lead))
        return True

    def _rest(self, line: Line, at: int) -> Span:
        """The part of `line` from `at` on that is of the key; with its end mark the key is over."""
        stop = line.lead + len(line.body)
        if (end := KEY_END.search(line.clean, at)) is not None:
            self._lines = 0
            return at, end.end()
        if KEY_LINE.fullmatch(line.clean, at, stop) is not None:
            return at, stop
        text = KEY_TEXT.match(line.clean, at, stop)
        self._lines = 0 if text is not None and text.end() < stop else self._lines
        return at, stop if text is None else text.end()
