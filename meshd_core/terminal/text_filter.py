"""Lines of a line-oriented program: bytes in, complete plain lines out, in linear time and bounded memory.

Nothing unfinished is ever scanned again: the parser keeps a state, and drops the content of control strings as it
comes. A column is one character; wide characters count as one, which line programs don't notice. Source of the
sequences: ECMA-48 and xterm's ctlseqs; where a stray sequence could swallow lines, lines win (see `_end_of_line`).
"""

import re
from codecs import utf_8_decode
from typing import Final

CAP: Final = 16384
"""Characters of one line; a longer one comes out in pieces of this length."""
STRING_CAP: Final = 262144
"""Characters of a control string (OSC, DCS, APC, PM, SOS) after which a line feed ends it."""
_MOVE_CAP: Final = 1000
"""Columns that one sequence may move or insert: the widest terminal there is (config), and no bomb of spaces."""
_PARAMS_CAP: Final = 64
_TAB: Final = 8

_GROUND, _ESC, _ESC_INTERMEDIATE, _CSI, _OSC, _STRING = range(6)

_SPECIAL = re.compile("[\x00-\x1f\x7f-\x9f]")
_TEXT = re.compile("[^\x00-\x1f\x7f-\x9f]+")
_HARMLESS = re.compile("\x1b\\[(?:[0-9;:]*m|0?K)")
"""Colours, and erasing to the right where nothing is: no effect on a line that is written from left to right."""
_SEQUENCE = re.compile("\x1b\\[([0-?]{0,64})([ -/]{0,4})([@-~])")
_CSI_BODY = re.compile("[ -?]*")
_END_OF_OSC = re.compile("[\x07\x18\x1a\x1b]")
_END_OF_STRING = re.compile("[\x18\x1a\x1b]")
_NUMBER = re.compile("[0-9]*")


class TextFilter:
    """Incremental filter of one run's output.

    A line feed outside of a control string ends a line, and a fresh filter started right after it (at the `raw_end`
    that was returned) gives the same following lines. A lone carriage return goes to column 0 and later text
    overwrites, so that a spinner leaves its last state. Never raises, whatever the bytes.
    """

    def __init__(self) -> None:
        self._reset()
        self._end = 0

    def _reset(self) -> None:
        self._mode = _GROUND
        self._line = ""
        self._column = 0
        self._params = ""
        self._string_length = 0
        self._partial = b""
        """The first bytes of a character that isn't complete."""

    def pending(self) -> str:
        """The text of the line that isn't finished."""
        return self._line

    def flush(self) -> list[tuple[str, int]]:
        """The unfinished line as a last one, if there is any; the filter is then as new."""
        if self._partial and self._mode == _GROUND:
            self._write("\ufffd")
        lines = [(self._line, self._end)] if self._line else []
        self._reset()
        return lines

    def feed(self, data: bytes | memoryview, base: int) -> list[tuple[str, int]]:
        """The lines that `data` completes, each with the raw offset after its last byte.

        `base` is the raw offset of `data[0]`; calls must be contiguous. A piece of a line longer than `CAP` ends before
        the character that didn't fit.
        """
        lines: list[tuple[str, int]] = []
        parts = bytes(data).split(b"\n")
        rest = parts.pop()
        for part in parts:
            end = base + len(part) + 1
            if not (self._mode or self._line or self._column or self._partial):
                text = _simple_line(part) if part else ""
                if text is not None:
                    lines.append((text, end))
                    base = end
                    continue
            self._consume(part, base, lines, final=True)
            if self._end_of_line():
                lines.append((self._line, end))
                self._line, self._column = "", 0
            base = end
        if rest:
            self._consume(rest, base, lines, final=False)
        self._end = base + len(rest)
        return lines

    def _end_of_line(self) -> bool:
        """Whether a line feed now ends the line: not within a control string.

        An escape sequence that it interrupts is given up, as is a string of more than `STRING_CAP`: a stray
        introducer in binary output must not silence a program for good.
        """
        if self._mode in (_OSC, _STRING) and self._string_length < STRING_CAP:
            self._string_length += 1
            return False
        self._mode = _GROUND
        return True

    def _consume(self, part: bytes, base: int, lines: list[tuple[str, int]], *, final: bool) -> None:
        """Run `part` (no line feed in it) through the parser; `final`: a line feed follows."""
        if self._partial:
            base -= len(self._partial)
            part = self._partial + part
        text, used = utf_8_decode(part, "replace", final)
        self._partial = part[used:]
        at, end = 0, len(text)
        while at < end:
            if self._mode == _GROUND:
                match = _TEXT.match(text, at)
                if match is None:
                    at = self._control(text, at)
                    continue
                stop = match.end()
                while (room := CAP - self._column) < stop - at:
                    self._write(text[at : at + room])
                    at += room
                    lines.append((self._line, base + _byte_offset(part, at)))
                    self._line, self._column = "", 0
                self._write(text[at:stop])
                at = stop
            else:
                at = self._in_sequence(text, at)

    def _write(self, text: str) -> None:
        column, line = self._column, self._line
        self._column = column + len(text)
        if column == len(line):
            self._line = line + text
        else:
            self._line = line[:column].ljust(column) + text + line[self._column :]

    def _control(self, text: str, at: int) -> int:
        """One control character in the ground state; whole CSI sequences at once. Returns where to go on."""
        char = text[at]
        if char == "\x1b":
            match = _SEQUENCE.match(text, at)
            if match is None:
                self._mode = _ESC
            else:
                if match[3] != "m" and not match[2]:
                    self._dispatch(match[1], match[3])
                return match.end()
        elif char == "\r":
            self._column = 0
        elif char == "\b":
            self._column = max(0, self._column - 1)
        elif char == "\t":
            self._column = min(CAP, (self._column // _TAB + 1) * _TAB)
            self._line = self._line.ljust(self._column)
        return at + 1

    def _in_sequence(self, text: str, at: int) -> int:
        """Go on within an escape sequence or control string. Returns where to go on."""
        if self._mode == _CSI:
            return self._in_csi(text, at)
        if self._mode in (_OSC, _STRING):
            match = (_END_OF_OSC if self._mode == _OSC else _END_OF_STRING).search(text, at)
            if match is None:
                self._string_length += len(text) - at
                return len(text)
            self._mode = _ESC if match[0] == "\x1b" else _GROUND
            return match.end()
        char = text[at]
        if " " <= char <= "/":
            self._mode = _ESC_INTERMEDIATE
        elif self._mode == _ESC and char in "[]PX^_":
            self._mode = {"[": _CSI, "]": _OSC}.get(char, _STRING)
            self._params, self._string_length = "", 0
        elif "0" <= char <= "~":
            self._mode = _GROUND
        else:
            self._mode = _GROUND
            return at  # not part of the sequence
        return at + 1

    def _in_csi(self, text: str, at: int) -> int:
        match = _CSI_BODY.match(text, at)
        stop = match.end() if match else at
        self._params += text[at : min(stop, at + _PARAMS_CAP + 1 - len(self._params))]
        if stop == len(text):
            return stop
        self._mode = _GROUND
        if "@" <= text[stop] <= "~":
            if len(self._params) <= _PARAMS_CAP and not re.search("[ -/]", self._params):
                self._dispatch(self._params, text[stop])
            return stop + 1
        return stop  # not part of the sequence

    def _dispatch(self, params: str, final: str) -> None:
        """The CSI sequences that move on a line or edit it; all others have no effect."""
        match = _NUMBER.match(params)
        digits = match[0] if match else ""
        if params[len(digits) : len(digits) + 1] not in ("", ";", ":"):
            return  # private
        number = min(int(digits or 0), _MOVE_CAP)
        count = number or 1
        line, column = self._line, self._column
        if final in "Ca":
            self._column = min(max(column, _MOVE_CAP), column + count)
        elif final == "D":
            self._column = max(0, column - count)
        elif final in "G`":
            self._column = count - 1
        elif final == "K":
            self._erase(number)
        elif final == "P":
            self._line = line[:column] + line[column + count :]
        elif final == "@" and column < len(line):
            self._line = (line[:column] + " " * count + line[column:])[:CAP]
        elif final == "X" and column < len(line):
            self._line = line[:column] + " " * min(count, len(line) - column) + line[column + count :]

    def _erase(self, which: int) -> None:
        line, column = self._line, self._column
        if which == 0:
            self._line = line[:column]
        elif which == 1:
            self._line = " " * min(column + 1, len(line)) + line[column + 1 :]
        elif which == 2:
            self._line = ""


def _simple_line(part: bytes) -> str | None:
    """The text of a whole line that has nothing but text, colours and tabs; None: it needs the parser."""
    text = part.decode("utf-8", "replace").rstrip("\r")
    if "\x1b" in text:
        text = _HARMLESS.sub("", text)
    if "\t" in text:
        if _SPECIAL.search(text.replace("\t", "")):
            return None
        text = text.expandtabs(_TAB)
    elif _SPECIAL.search(text):
        return None
    return text if len(text) <= CAP else None


def _byte_offset(data: bytes, count: int) -> int:
    """Where in `data` the character number `count` (from 0) starts, as decoded with replacement characters."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high + 1) // 2
        if len(utf_8_decode(data[:middle], "replace", True)[0]) <= count:
            low = middle
        else:
            high = middle - 1
    return low
