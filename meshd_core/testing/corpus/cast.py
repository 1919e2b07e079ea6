"""Terminal recordings as asciicast v2 (docs.asciinema.org/manual/asciicast/v2), gzipped: a JSON header, then events.

`[seconds, code, text]`: `o` what the program wrote, `i` what was written to it, `r` a new size as `COLSxROWS`, `m` a
mark of the script. Players show them; `meshd_core.testing.corpus` replays them.
"""

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from meshd_core.types import Size

CAST_SUFFIX = ".cast.gz"
MAX_CAST_BYTES = 64 * 1024 * 1024
"""Unpacked. A recording of some seconds has far less."""


class Header(Struct, frozen=True):
    """`timestamp` is seconds since 1970."""

    width: int
    height: int
    version: Literal[2] = 2
    timestamp: int = 0
    title: str = ""
    env: dict[str, str] = field(default_factory=dict)


class CastEvent(NamedTuple):
    at: float
    code: Literal["o", "i", "r", "m"]
    data: str


class Cast(Struct, frozen=True):
    header: Header
    events: tuple[CastEvent, ...]

    def output(self) -> Iterator[CastEvent]:
        """Only what the program wrote."""
        return (event for event in self.events if event.code == "o")


class CastWriter:
    """Collects events; `at` must not go backwards. Output and input come as bytes, cut anywhere."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._events: list[CastEvent] = []
        decoder = codecs.getincrementaldecoder("utf-8")
        # A character cut by a read is held back until its end has come.
        self._decoders = {"o": decoder("replace"), "i": decoder("replace")}

    def output(self, at: float, data: bytes) -> None:
        self._add(at, "o", self._decoders["o"].decode(data))

    def input(self, at: float, data: bytes) -> None:
        self._add(at, "i", self._decoders["i"].decode(data))

    def resize(self, at: float, size: Size) -> None:
        self._add(at, "r", f"{size.cols}x{size.rows}")

    def mark(self, at: float, label: str) -> None:
        self._add(at, "m", label)

    def finish(self, at: float) -> Cast:
        """The recording; a character that never ended becomes U+FFFD."""
        self._add(at, "o", self._decoders["o"].decode(b"", True))
        return Cast(self._header, tuple(self._events))

    def _add(self, at: float, code: Literal["o", "i", "r", "m"], data: str) -> None:
        if data:
            self._events.append(CastEvent(round(at, 4), code, data))


def write_cast(cast: Cast, path: Path) -> None:
    """The same cast gives the same bytes."""
    lines = [msgspec.json.encode(cast.header), *(msgspec.json.encode(event) for event in cast.events)]
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", compresslevel=9, mtime=0))


def read_cast(path: Path) -> Cast:
    """Raises OSError for what isn't gzip or not there, ValueError for what isn't a cast."""
    with gzip.open(path) as file:
        data = file.read(MAX_CAST_BYTES + 1)
    if len(data) > MAX_CAST_BYTES:
        raise ValueError(f"{path.name}: more than {MAX_CAST_BYTES} bytes")
    try:
        head, *rest = data.splitlines()
        header = msgspec.json.decode(head, type=Header)
        events = tuple(msgspec.json.decode(line, type=CastEvent) for line in rest if line)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name}: not an asciicast v2: {error}") from error
    return Cast(header, events)


def parse_size(text: str) -> Size:
    """The size in an `r` event. Raises ValueError."""
    cols, _, rows = text.partition("x")
    return Size(rows=int(rows), cols=int(cols))
