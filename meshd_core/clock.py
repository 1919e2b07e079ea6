"""Time and identifiers.

Wall time is for people and for the wire (RFC 3339, UTC, milliseconds); every timeout and every order uses the
monotonic clock, because wall time may step.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_monotonic: Callable[[], float] = time.monotonic
_wall_ns: Callable[[], int] = time.time_ns


def now_ms() -> int:
    """Wall time in milliseconds since 1970."""
    return _wall_ns() // 1_000_000


def rfc3339(ms: int | None = None) -> str:
    """`ms` (default: now) as RFC 3339 in UTC with milliseconds, as every time on the wire."""
    seconds, millis = divmod(now_ms() if ms is None else ms, 1000)
    return f"{_second_text(seconds)}.{millis:03d}Z"


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    """Formatting a date takes 4 µs, and most times that are told are within the same second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def monotonic() -> float:
    """Seconds on the clock that timeouts are measured with."""
    return _monotonic()


@contextmanager
def time_from(seconds: Callable[[], float]) -> Iterator[None]:
    """Inside, all of the process has the time that `seconds` tells (wall time: since 1970): that of a recording."""
    global _monotonic, _wall_ns
    before = _monotonic, _wall_ns
    _monotonic, _wall_ns = seconds, lambda: round(seconds() * 1e9)
    try:
        yield
    finally:
        _monotonic, _wall_ns = before


def ulid(ms: int | None = None) -> str:
    """A new ULID: 48 bits of milliseconds and 80 random bits, 26 Crockford characters, sortable by time."""
    return _crockford(((now_ms() if ms is None else ms) << 80) | int.from_bytes(os.urandom(10), "big"))


def next_ulid(text: str) -> str:
    """The ULID that follows `text`."""
    value = 0
    for char in text:
        value = value << 5 | _CROCKFORD.index(char)
    return _crockford(value + 1)


def _crockford(value: int) -> str:
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def base36(value: int) -> str:
    """`value` (not negative) in base 36, lower case: the form of a journal's epoch."""
    digits = ""
    while True:
        value, rest = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if not value:
            return digits


def uuid7() -> str:
    """A new UUIDv7 (RFC 9562 section 5.7): sortable by time to the millisecond."""
    value = (now_ms() << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
