"""Logs of JSON lines that another process is writing: the newest records first read, the older only if needed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

FIRST_READ_BYTES = 1 << 20
MOST_READ_BYTES = 64 << 20
T = TypeVar("T")
Found = TypeVar("Found")


def read_records(path: Path, decoder: msgspec.json.Decoder[T], size_bytes: int) -> tuple[list[T], bool]:
    """The records in the last `size_bytes` of the log, and whether that is all of it. Raises OSError.

    Half a line, and a record whose shape `decoder` does not know, is left out.
    """
    lines, complete = newest_lines(path, size_bytes)
    return decode_lines(lines, decoder), complete


def newest_lines(path: Path, size_bytes: int) -> tuple[list[bytes], bool]:
    """The lines in the last `size_bytes` of the log, and whether that is all of it. Raises OSError.

    The last one has no newline: it is empty, or being written. One that is cut at the beginning is left out.
    """
    with path.open("rb") as file:
        total = file.seek(0, 2)
        start = max(0, total - size_bytes)
        file.seek(start)
        data = file.read(size_bytes)
    lines = data.split(b"\n")
    return lines[1:] if start and len(lines) > 1 else lines, start == 0


def decode_lines(lines: list[bytes], decoder: msgspec.json.Decoder[T]) -> list[T]:
    """The records of `lines`, without those that can't be decoded."""
    records = []
    for line in lines:
        try:
            records.append(decoder.decode(line))
        except msgspec.MsgspecError:
            continue  # half a line, or a record whose shape we don't know
    return records


def search_records(
    path: Path,
    decoder: msgspec.json.Decoder[T],
    find: Callable[[list[T]], Found | None],
    reaches: Callable[[list[T]], bool],
) -> Found | None:
    """What `find` finds in the newest records, reading further back until it does or `reaches` says: far enough.

    Raises OSError.
    """
    size_bytes = FIRST_READ_BYTES
    while True:
        records, complete = read_records(path, decoder, size_bytes)
        if (found := find(records)) is not None:
            return found
        if complete or size_bytes >= MOST_READ_BYTES or reaches(records):
            return None
        size_bytes *= 4


class Follower:
    """Reads what is appended to a log, each whole line once."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self._offset = start
        self._skip = start > 0  # the first line may be cut

    @property
    def grown(self) -> bool:
        """Whether there may be more to read; also if the log can't be looked at, which `read` then says."""
        try:
            return os.stat(self.path).st_size != self._offset
        except OSError:
            return True

    def read(self) -> list[bytes]:
        """The lines since the last call, at most `MOST_READ_BYTES` of them. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(MOST_READ_BYTES)
        end = data.rfind(b"\n") + 1
        self._offset += end
        lines = data[:end].split(b"\n")[:-1]
        if self._skip and lines:
            self._skip = False
            lines = lines[1:]
        return lines
