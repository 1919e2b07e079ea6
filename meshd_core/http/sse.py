"""Server-Sent Events out of a slot's events. Source: WHATWG HTML, 9.2 "Server-sent events"; protocol section 3.

A block of events is encoded and framed as an HTTP chunk once and shared by every reader that stands at its start.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from meshd_core.clock import rfc3339
from meshd_core.http.service import FeedEvent

BLOCK_BYTES = 32768
"""Most bytes of one send, unless a single event is longer."""
COMMENT = b": still here\n\n"
ALWAYS = frozenset({"gap", "bye"})
"""Events that no filter holds back: a reader must know what it missed, and why the stream ends."""

Kinds = frozenset[str] | None
"""The events that a reader wants; None: all."""


class Block(Struct, frozen=True):
    """Events from one position up to `end`, ready to send; `data` is empty if none of them is wanted."""

    end: int
    data: bytes
    chunk: bytes
    last_n: int | None
    """Number of the last line passed, wanted or not."""


class TimeText:
    """`rfc3339` for times that come in order: the part up to the second is formatted once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def of(self, ms: int) -> str:
        second, millis = divmod(ms, 1000)
        if second != self._second:
            self._second, self._prefix = second, rfc3339(second * 1000)[:-4]
        return f"{self._prefix}{millis:03d}Z"


def event_bytes(name: str, body: Struct, event_id: str | None = None) -> bytes:
    """One event that is not read from a feed: a snapshot, a gap of this reader, `bye`."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"


def as_chunk(data: bytes) -> bytes:
    """`data` framed as one chunk (RFC 9112 section 7.1); empty stays empty, since an empty chunk ends the answer."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode(epoch: str, start: int, events: Sequence[FeedEvent], kinds: Kinds, times: TimeText) -> Block:
    """A block of as many of `events` as fit; `start` is the position before the first."""
    parts: list[bytes] = []
    size = 0
    end, last_n = start, None
    text_of = msgspec.json.Encoder().encode
    head = f"id: {epoch}-"
    for event in events:
        name = event.event
        if name == "line":
            if kinds is None or name in kinds:
                text = text_of(event.data.decode("utf-8", "replace"))
                fields = f'{head}{event.end}\nevent: line\ndata: {{"n":{event.n},"t":"{times.of(event.t_ms)}","text":'
                part = b"%b%b}\n\n" % (fields.encode(), text)
            else:
                part = b""
        elif kinds is None or name in kinds or name in ALWAYS:
            part = b"%b\ndata: %b\n\n" % (f"{head}{event.end}\nevent: {name}".encode(), event.data)
        else:
            part = b""
        if size + len(part) > BLOCK_BYTES and parts:
            break
        if part:
            parts.append(part)
            size += len(part)
        end = event.end
        if name == "line":
            last_n = event.n
    data = b"".join(parts)
    return Block(end, data, as_chunk(data), last_n)
