"""Server-Sent Events out of bytes that arrive in pieces of any size.

Source: WHATWG HTML, 9.2.6 "Interpreting an event stream". A block without `data` is no event; `retry` is ignored,
because this client has a backoff of its own.
"""

from typing import NamedTuple

MAX_EVENT_BYTES = 8 * 1024 * 1024


class TooLong(ValueError):
    """One event is longer than `MAX_EVENT_BYTES`: whatever sends this is not a meshd daemon."""


class RawEvent(NamedTuple):
    type: str
    id: str | None
    """The event's own id; None if it has none (a snapshot)."""
    data: bytes


class SseParser:
    """Feed it bytes, it returns the events that they complete. Memory is bounded by the longest event."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._start = True
        self._type = ""
        self._id: str | None = None
        self._data: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[RawEvent]:
        """The events that `chunk` completes, in order. Raises `TooLong`."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")  # the second half of a CR LF that was cut in two
        if chunk.endswith(b"\r"):
            self._after_cr = True
        buffered = self._rest + chunk
        if len(buffered) + self._held_bytes > MAX_EVENT_BYTES + len(chunk):
            raise TooLong(f"one event is longer than {MAX_EVENT_BYTES} bytes")
        if b"\r" in buffered:
            buffered = buffered.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = buffered.split(b"\n")
        if self._start and (lines or len(self._rest) >= 3):
            self._start = False
            if lines:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            else:
                self._rest = self._rest.removeprefix(b"\xef\xbb\xbf")
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> RawEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._held_bytes += len(value) + 1
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        return None

    def _dispatch(self) -> RawEvent | None:
        event = RawEvent(self._type or "message", self._id, b"\n".join(self._data)) if self._data else None
        self._type, self._id, self._data, self._held_bytes = "", None, [], 0
        return event
