"""This process's own terminal in raw mode: every key as it comes, and everything put back afterwards, always.

Signals are told through a pipe, so that a loop which waits for keys wakes for them.
"""

import contextlib
import os
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Any, Self

from meshd_core.terminal.modes import PLAIN
from meshd_core.types import Size

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_PUSH_TITLE, _POP_TITLE = b"\x1b[22;0t", b"\x1b[23;0t"
_BOTTOM = b"\x1b[999;1H\r\n"
_KEYS_BYTES = 4096


class RawTerminal:
    """A context manager over stdin and stdout. `resized`, `continued` and `ended_by` tell of signals."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._wake: tuple[int, int] = (-1, -1)
        self._wakeup_before = -1
        self.resized = self.continued = False
        self.ended_by: int | None = None

    @staticmethod
    def available() -> bool:
        """Whether stdin and stdout are a terminal."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._before = termios.tcgetattr(self._in)
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
        for signum in (*_ENDING, signal.SIGWINCH, signal.SIGCONT):
            self._handlers[signum] = signal.signal(signum, self._signalled)
        self._wakeup_before = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            self._enter_raw()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            self._write_all(PLAIN + _POP_TITLE + _BOTTOM)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._in, termios.TCSANOW, self._before)
        signal.set_wakeup_fd(self._wakeup_before)
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        for fd in self._wake:
            if fd >= 0:
                os.close(fd)

    def _enter_raw(self) -> None:
        tty.setraw(self._in, termios.TCSANOW)
        # What stands on the screen scrolls up instead of being painted over.
        self._write_all(_PUSH_TITLE + b"\r\n" * self.size().rows)

    def again(self) -> None:
        """Raw mode once more, after something else had the terminal."""
        tty.setraw(self._in, termios.TCSANOW)

    def _signalled(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGWINCH:
            self.resized = True
        elif signum == signal.SIGCONT:
            self.continued = True
        else:
            self.ended_by = signum

    # -- for the loop --

    def fileno(self) -> int:
        """Readable when there are keys."""
        return self._in

    @property
    def wake_fd(self) -> int:
        """Readable when a signal came; `woken` empties it."""
        return self._wake[0]

    def woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake[0], 4096)

    def keys(self) -> bytes:
        """What was typed; empty: the terminal is gone."""
        try:
            return os.read(self._in, _KEYS_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Show `data`. Raises OSError if the terminal is gone."""
        self._write_all(data)

    def size(self) -> Size:
        return window_size(self._out)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._out, view) :]


def window_size(fd: int) -> Size:
    """The size of the terminal `fd`, within what a slot can have."""
    try:
        found = os.get_terminal_size(fd)
        rows, cols = found.lines or 24, found.columns or 80
    except OSError:
        rows, cols = 24, 80
    return Size(rows=min(max(rows, 2), 500), cols=min(max(cols, 10), 1000))


def _pipe() -> tuple[int, int]:
    made = os.pipe()
    for fd in made:
        os.set_blocking(fd, False)
    return made
