"""An agent's terminal while it is recorded: everything that it writes becomes an event of the cast.

Queries of the program are answered by the emulator, as in a slot. The answers are no events: a replay's emulator gives
them again. One thread, which has to call `pump` (or anything that does) for the program to be heard.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import time
import uuid
from collections.abc import Callable

from meshd_core.pty.launch import launch
from meshd_core.pty.messages import SpawnSpec
from meshd_core.pty.processes import signal_run
from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.corpus.cast import Cast, CastWriter, Header
from meshd_core.types import Size

READ_BYTES = 64 * 1024
POLL_S = 0.05
WRITE_TIMEOUT_S = 10.0
KILL_TIMEOUT_S = 10.0


class RecordedTerminal:
    """One run of an agent. `started` is the cast's time 0, in seconds since 1970.

    Raises pty.errors.SpawnError if it can't be started.
    """

    def __init__(self, spec: SpawnSpec, title: str) -> None:
        self._emulator = Emulator(spec.rows, spec.cols, on_reply=self._answer)
        self.started = time.time()
        header = Header(spec.cols, spec.rows, timestamp=int(self.started), title=title, env={"TERM": spec.env["TERM"]})
        self._cast = CastWriter(header)
        self._at = 0.0
        self._run = f"record-{uuid.uuid4()}"
        launched = launch(spec, self._run)
        self.pid, self._master = launched.pid, launched.master
        self._text = ""
        self.on_output: Callable[[], object] = lambda: None
        """Called after each output of the program."""
        self.changed_at = 0.0
        """When the screen's text last changed."""
        self.ended: float | None = None
        """When the program had ended and its last output was read."""
        self.exit: int | None = None
        """Its status then; negative for a signal."""

    def now(self) -> float:
        """Seconds since the start; never backwards."""
        self._at = max(self._at, time.time() - self.started)
        return self._at

    def text(self) -> str:
        """The visible screen."""
        return self._text

    def pump(self, seconds: float) -> None:
        """Take what the program writes for `seconds`, or until it ends."""
        until = time.monotonic() + seconds
        while self.ended is None and (left := until - time.monotonic()) > 0:
            if select.select([self._master], [], [], min(left, POLL_S))[0]:
                self._read()
            self._reap()

    def write(self, data: bytes) -> None:
        """Write as one event, reading meanwhile. Raises TimeoutError if the program does not take it."""
        self._cast.input(self.now(), data)
        self._write(data)

    def resize(self, size: Size) -> None:
        self._cast.resize(self.now(), size)
        self._emulator.resize(size.rows, size.cols)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0))

    def mark(self, label: str) -> None:
        self._cast.mark(self.now(), label)

    def kill(self, sig: int) -> None:
        """A signal for the program's process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sig)

    def finish(self) -> Cast:
        """The recording up to now; nothing of the program is left afterwards."""
        cast = self._cast.finish(self.now())
        deadline = time.monotonic() + KILL_TIMEOUT_S
        leader = self.pid if self.exit is None else None
        while signal_run(self._run, leader, signal.SIGKILL) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self.exit is None:
            os.waitpid(self.pid, 0)
        os.close(self._master)
        self._emulator.close()
        return cast

    def _read(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: no program has the terminal open
            data = b""
        if not data:
            time.sleep(POLL_S / 5)
            return
        at = self.now()
        self._cast.output(at, data)
        self._emulator.feed(data)
        if (text := self._emulator.text()) != self._text:
            self._text, self.changed_at = text, at
        self.on_output()

    def _reap(self) -> None:
        if self.exit is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit = os.waitstatus_to_exitcode(status)
        if self.exit is not None and not select.select([self._master], [], [], 0)[0]:
            self.ended = self.now()
        elif self.exit is not None:
            self._drain()

    def _drain(self) -> None:
        """The rest of what an ended program wrote; what it left running may go on, and is not waited for."""
        self._read()
        self.ended = self.now()

    def _answer(self, data: bytes) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._write(data)

    def _write(self, data: bytes) -> None:
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._master, data) :]
            if data:
                if time.monotonic() > deadline:
                    raise TimeoutError("the program does not read what is typed")
                self.pump(POLL_S / 5)
