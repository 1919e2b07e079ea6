"""The file of a journal: made whole, locked for one process, checked, mapped.

A page of header, the raw ring, the record ring. The static part of the header has a checksum and is written last.
"""

import fcntl
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Final
from zlib import crc32

from meshd_core.clock import now_ms

MAGIC: Final = b"meshdjnl"
VERSION: Final = 1
PAGE: Final = 4096
STATIC: Final = struct.Struct("<8sIIQQQ")
"""magic, version, 0, epoch (ms), size of the raw ring, size of the record ring; its CRC follows."""
_CRC = struct.Struct("<I")
_CHUNK: Final = 65536
_MAX_BAD: Final = 9


class JournalInUse(Exception):
    """Another process has this journal open."""


class JournalDamaged(Exception):
    """The bytes of a journal contradict each other: something else wrote the file, or the machine lost power."""


def open_locked(path: Path) -> int:
    """A descriptor of the file at `path`, locked for this process alone. Raises JournalInUse."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, 0o600)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise JournalInUse(f"{path} is open in another process") from None
        except FileNotFoundError:
            pass  # renamed meanwhile: take the new one
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def map_file(fd: int, raw_bytes: int, record_bytes: int) -> mmap.mmap:
    """Map a good file, or make an empty one good. Raises JournalDamaged for anything else."""
    page = os.pread(fd, PAGE, 0)
    fresh = not page.strip(b"\0")
    if not fresh:
        raw_bytes, record_bytes = _sizes(page)
        if os.fstat(fd).st_size != PAGE + raw_bytes + record_bytes:
            raise JournalDamaged("the file has not the size that its header says")
    total = PAGE + raw_bytes + record_bytes
    if fresh:
        os.ftruncate(fd, 0)
    try:
        _allocate(fd, total)
    except OSError:
        if fresh:
            os.ftruncate(fd, 0)
        raise
    mapping = mmap.mmap(fd, total, mmap.MAP_SHARED)
    if fresh:
        static = STATIC.pack(MAGIC, VERSION, 0, now_ms(), raw_bytes, record_bytes)
        mapping[: STATIC.size + 4] = static + _CRC.pack(crc32(static))
    return mapping


def _sizes(page: bytes) -> tuple[int, int]:
    if len(page) < PAGE:
        raise JournalDamaged("the file is too short")
    magic, version, _, _, raw_bytes, record_bytes = STATIC.unpack_from(page)
    if magic != MAGIC or version != VERSION:
        raise JournalDamaged("not a journal of this version")
    if _CRC.unpack_from(page, STATIC.size)[0] != crc32(page[: STATIC.size]):
        raise JournalDamaged("the header's checksum is wrong")
    return raw_bytes, record_bytes


def _allocate(fd: int, size: int) -> None:
    """Take the disk space now: writing to a mapped hole of a full disk would kill the process by SIGBUS."""
    if sys.platform == "darwin":  # has no posix_fallocate
        start = os.fstat(fd).st_size
        for at in range(start, size, _CHUNK):
            os.pwrite(fd, bytes(min(_CHUNK, size - at)), at)
    else:
        os.posix_fallocate(fd, 0, size)


def free_name(path: Path) -> Path:
    """`<name>.bad-<n>`; the last one is reused, so that a broken disk doesn't fill itself with these."""
    names = [path.with_name(f"{path.name}.bad-{n}") for n in range(1, _MAX_BAD + 1)]
    return next((name for name in names if not name.exists()), names[-1])
