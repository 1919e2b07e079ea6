"""A file of lines that only grows by whole batches, and is renamed before it grows too large.

A full disk can take a part of a write. What it took is cut off again, so that the next try repeats nothing and no line
is ever torn; after the death of the process the same is done when the file is opened.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path

MAX_LINE_BYTES = 16 * 1024 * 1024
START = b'{"id":"'
"""How each of our lines begins: what ends without a newline is cut off only if it is one."""


class Foreign(Exception):
    """The file is not one that may be written: the message says why."""


class LinesFile:
    """Appends to `path` (made 0600). Opened at the first append, and anew if it was moved away."""

    def __init__(self, path: Path, max_bytes: int, keep: int, fsync: bool) -> None:
        self.path = path
        self._max_bytes, self._keep, self._fsync = max_bytes, keep, fsync
        self._fd: int | None = None

    def append(self, lines: bytes) -> None:
        """All of `lines`, or nothing. Raises OSError and Foreign."""
        fd = self._current()
        size = os.fstat(fd).st_size
        if size and size + len(lines) > self._max_bytes:
            self._rotate()
            fd, size = self._current(), 0
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(fd, left) :]
            if self._fsync:
                os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)  # and with it the lock
            self._fd = None

    def _current(self) -> int:
        """The descriptor of the file that has the name now."""
        if self._fd is not None:
            ours = os.fstat(self._fd)
            try:
                found = os.stat(self.path, follow_symlinks=False)
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return self._fd
            self.close()
        self._fd = self._open()
        return self._fd

    def _open(self) -> int:
        # O_NONBLOCK: a FIFO without a reader must not hold the sink up.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Foreign(f"{self.path} is not a regular file")
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Foreign(f"{self.path} is written by somebody else: give each sink a file of its own") from None
            self._heal(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _heal(self, fd: int) -> None:
        """Cut off a line that the death of a process left unfinished."""
        size = os.fstat(fd).st_size
        start = max(0, size - MAX_LINE_BYTES)
        tail = os.pread(fd, size - start, start)
        if not tail or tail.endswith(b"\n"):
            return
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not (torn.startswith(START) or START.startswith(torn)):
            raise Foreign(f"{self.path} ends with a line that is not meshd's: name another file")
        os.ftruncate(fd, size - len(torn))

    def _rotate(self) -> None:
        self.close()
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._keep + 1))]
        if len(names) == 1:
            self.path.unlink()
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                os.replace(newer, older)


def is_want_of_space(error: OSError) -> bool:
    """Whether the disk may have space again without anybody mending the configuration."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
