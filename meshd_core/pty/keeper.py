"""The keeper: a tiny process that agents belong to, so that no agent dies because the daemon does.

Run as `python -m meshd_core.pty.keeper --socket PATH`: returns once a keeper listens there (this one or another), with
exit code 0, or says on stderr why not. The keeper itself goes on in the background, in a session of its own, with no
terminal and no folder held. It never waits for a daemon: a hung one costs it nothing.
"""

import contextlib
import ctypes
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from meshd_core.clock import rfc3339
from meshd_core.pty.children import ChildTable
from meshd_core.pty.messages import ChildInfo
from meshd_core.pty.service import Service
from meshd_core.unix_socket import socket_address

LOCK_WAIT_S = 3.0
CHORE_S = 0.5
USELESS_S = 5.0
MAX_LOG_BYTES = 256 * 1024
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Keeper:
    """The loop: one selector whose entries' data is the function to call."""

    def __init__(self, listener: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._listening = False
        self.children = ChildTable(self._selector, self._child_ended)
        self.service = Service(self._selector, self.children)
        self._stop_asked = False
        self._useless_since: float | None = None
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        """Serve until shut down."""
        self._watch_signals()
        self._listen()
        due = 0.0
        timeout: float | None = CHORE_S
        while not self.service.done:
            for key, _ in self._selector.select(timeout):
                key.data()
            now = time.monotonic()
            more = now < due
            if not more:
                more, due = self._chores(), now + CHORE_S
            timeout = CHORE_S if more else None

    def _chores(self) -> bool:
        """What no event announces; whether to come back soon."""
        if not self._listening:
            self._listen()
        waiting = (self.children.retry_silent(), self.children.poll_taken(), self.service.expire_strangers())
        return self._useless() or any(waiting)

    def _useless(self) -> bool:
        """Whether there is no daemon and nothing to keep; the keeper ends once that lasts."""
        if self.service.attached or any(True for _ in self.children):
            self._useless_since = None
            return False
        now = time.monotonic()
        self._useless_since = self._useless_since or now
        if now - self._useless_since > USELESS_S:
            self.service.done = True
        return True

    def _listen(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._listening = True

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Out of descriptors: the waiting connection would wake us for ever. Try again with the chores.
            log(f"a connection could not be accepted: {error.strerror}")
            self._selector.unregister(self._listener)
            self._listening = False
            return
        self.service.add(connection)

    def _child_ended(self, info: ChildInfo) -> None:
        self.service.notify(info)

    # -- signals ---------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminated)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)

    def _terminated(self, *_: object) -> None:
        # Judged now, not when the loop comes to it: an agent that ends in between must not take its status along.
        if self.children.living():
            log("SIGTERM ignored: agents are alive; 'meshd down' ends them and the keeper")
        else:
            self._stop_asked = True

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        self.children.reap()
        if self._stop_asked and not self.children.living():
            self.service.done = True
        self._stop_asked = False


def log(message: str) -> None:
    """One line to stderr, which is the log file; the file starts again when it is full."""
    with contextlib.suppress(OSError):
        if os.fstat(2).st_size > MAX_LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, f"{rfc3339()} keeper {os.getpid()}: {message}\n".encode())


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] != "--socket":
        sys.stderr.write("usage: python -m meshd_core.pty.keeper --socket PATH\n")
        return 2
    path = Path(os.path.abspath(arguments[1]))
    try:
        with _only_keeper(path) as first:
            if first:
                return _start(path)
    except OSError as error:
        sys.stderr.write(f"the keeper can't use {path}: {error.strerror}\n")
        return 1
    return 0


@contextlib.contextmanager
def _only_keeper(path: Path) -> Iterator[bool]:
    """Hold the lock of the keeper at `path`; False if another holds it and listens."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock(descriptor, path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The holder is starting, listening, or about to end.
            if _answers(path) or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            with socket_address(path) as address:
                probe.connect(address)
        except OSError:
            return False
        return True


def _start(path: Path) -> int:
    """Listen, go on in a forked process, and return in this one; the child never returns."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    mask = os.umask(0o177)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        log_file = os.open(f"{path}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    finally:
        os.umask(mask)
    listener.listen(16)
    if os.fork():
        listener.close()
        os.close(log_file)
        return 0
    _leave_the_starter(log_file)
    code = 70
    try:
        Keeper(listener).run()
        path.unlink(missing_ok=True)
        code = 0
    finally:
        log("ended" if code == 0 else traceback.format_exc())
        os._exit(code)


def _leave_the_starter(log_file: int) -> None:
    with contextlib.suppress(PermissionError):
        os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log_file, 2)
    os.close(null)
    os.close(log_file)
    if sys.platform.startswith("linux"):
        # Orphans of agents become ours to reap, and stay within one tree.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
