"""The demo agent's terminal: raw mode, keys out of bytes, writes that never block.

Stdlib only: this is imported at each start of the demo agent. Bracketed paste is DEC private mode 2004: the terminal
sends pasted text between `ESC[200~` and `ESC[201~` (xterm, ctlseqs).
"""

import codecs
import contextlib
import os
import select
import termios
import time
import tty
from collections.abc import Iterator

PASTE_START = "\x1b[200~"
PASTE_END = "\x1b[201~"
ESCAPE_WAIT_S = 0.05
"""An ESC that nothing follows for so long is the Escape key, not the start of a sequence."""
MAX_SEQUENCE = 32


class Key:
    """One thing that a person did: `name` is `text`, `paste` (a piece), `enter`, `escape`, `C-x`, or it is ignored."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {self.text!r})"


class KeyReader:
    """Turns bytes into keys, whatever the chunks; a UTF-8 character or sequence may arrive in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ""
        self._in_paste = False

    def feed(self, data: bytes) -> Iterator[Key]:
        """The keys that `data` completes."""
        self._buffer += self._decoder.decode(data)
        while self._buffer:
            key = self._paste_piece() if self._in_paste else self._next_key()
            if key is None:
                return
            yield key

    @property
    def undecided(self) -> bool:
        """Whether an ESC waits for what may follow; call `settle` after ESCAPE_WAIT_S."""
        return not self._in_paste and self._buffer.startswith("\x1b")

    def settle(self) -> Iterator[Key]:
        """Nothing followed the ESC: it is the Escape key, and what came after it are keys of their own."""
        if self.undecided:
            self._buffer = self._buffer[1:]
            yield Key("escape")
            yield from self.feed(b"")

    def _paste_piece(self) -> Key | None:
        end = self._buffer.find(PASTE_END)
        if end >= 0:
            piece, self._buffer = self._buffer[:end], self._buffer[end + len(PASTE_END) :]
            self._in_paste = False
            return Key("paste", piece)
        keep = _partial_end(self._buffer)
        piece, self._buffer = self._buffer[: len(self._buffer) - keep], self._buffer[len(self._buffer) - keep :]
        return Key("paste", piece) if piece else None

    def _next_key(self) -> Key | None:
        first = self._buffer[0]
        if first == "\x1b":
            return self._sequence()
        if first < " " or first == "\x7f":
            self._buffer = self._buffer[1:]
            return _control(first)
        end = 1
        while end < len(self._buffer) and self._buffer[end] >= " " and self._buffer[end] != "\x7f":
            end += 1
        text, self._buffer = self._buffer[:end], self._buffer[end:]
        return Key("text", text)

    def _sequence(self) -> Key | None:
        if len(self._buffer) == 1:
            return None
        if self._buffer[1] not in "[O":
            self._buffer = self._buffer[1:]
            return Key("escape")
        for index in range(2, min(len(self._buffer), MAX_SEQUENCE)):
            if "@" <= self._buffer[index] <= "~":
                text, self._buffer = self._buffer[: index + 1], self._buffer[index + 1 :]
                self._in_paste = text == PASTE_START
                return Key("ignored", text)
        if len(self._buffer) >= MAX_SEQUENCE:
            self._buffer = self._buffer[2:]
            return Key("ignored")
        return None


def _partial_end(text: str) -> int:
    """How many characters at the end of `text` may be the start of the paste's end."""
    for size in range(min(len(PASTE_END) - 1, len(text)), 0, -1):
        if PASTE_END.startswith(text[-size:]):
            return size
    return 0


def _control(character: str) -> Key:
    if character == "\r":
        return Key("enter")
    if character == "\n":
        return Key("paste", "\n")
    if character in "\x7f\x08":
        return Key("backspace")
    return Key(f"C-{chr(ord(character) + 96)}")


class Terminal:
    """Stdin and stdout in raw mode. What the terminal doesn't take at once is kept and written when it does."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._pending = bytearray()
        self._poll = select.poll()
        self._saved = termios.tcgetattr(stdin)
        self._was_blocking = os.get_blocking(stdout)

    def __enter__(self) -> "Terminal":
        tty.setraw(self._stdin, termios.TCSANOW)
        os.set_blocking(self._stdout, False)
        os.set_blocking(self._stdin, False)
        self.listen(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._drain(within_s=1.0)
        os.set_blocking(self._stdin, self._was_blocking)
        os.set_blocking(self._stdout, self._was_blocking)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._stdin, termios.TCSANOW, self._saved)

    @property
    def pending_bytes(self) -> int:
        """What the terminal has not taken yet."""
        return len(self._pending)

    def listen(self, on: bool) -> None:
        """Whether `wait` reads; a terminal that is not read fills up, as a real hung program's does."""
        self._poll.register(self._stdin, select.POLLIN if on else 0)

    def write(self, text: str) -> None:
        """Queue `text`; `flush` writes it."""
        self._pending += text.encode("utf-8", "replace")

    def flush(self) -> None:
        """Write what the terminal takes now. Raises EOFError if it is gone."""
        while self._pending:
            try:
                written = os.write(self._stdout, self._pending)
            except BlockingIOError:
                break
            except OSError as error:
                raise EOFError from error
            del self._pending[:written]
        if self._stdout != self._stdin:
            self._poll.register(self._stdout, select.POLLOUT if self._pending else 0)

    def wait(self, timeout_s: float | None) -> bytes:
        """Bytes typed, or none after `timeout_s` or when the terminal takes output again. EOFError: it is gone."""
        ready = self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        for fd, events in ready:
            if fd == self._stdin and events & (select.POLLIN | select.POLLHUP):
                try:
                    data = os.read(self._stdin, 65536)
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise EOFError from error
                if not data:
                    raise EOFError
                return data
        return b""

    def _drain(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        with contextlib.suppress(EOFError):
            self.flush()
            while self._pending and time.monotonic() < deadline:
                select.select([], [self._stdout], [], 0.05)
                self.flush()
