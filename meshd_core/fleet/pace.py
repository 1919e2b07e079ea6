"""When a sink that failed is tried again."""

import math
import random

from msgspec import Struct


class Pace(Struct, frozen=True):
    """Seconds, but for `open_after`."""

    first_s: float = 1.0
    longest_s: float = 60.0
    """The pause before retry n is random between 0 and first_s * 2**n, at most this (full jitter)."""
    open_after: int = 5
    """Failures in a row after which the breaker opens: one event is tried alone, seldom, until one comes through."""
    open_s: float = 60.0
    """Between such tries; random between half of it and all."""
    paused_s: float = 300.0
    """Between tries while a person must mend something; the same jitter."""
    longest_wish_s: float = 3600.0
    """The most that a receiver's own wish is honoured for."""


class Breaker:
    """Counts failures in a row and says how long to wait."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._failures = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._pace.open_after

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, wish_s: float | None = None) -> float:
        """Seconds until the next try: the receiver's wish if it has one."""
        self._failures += 1
        if wish_s is not None and math.isfinite(wish_s) and wish_s > 0:
            return min(wish_s, self._pace.longest_wish_s)
        if self.is_open:
            return _seldom(self._pace.open_s)
        grown_s = self._pace.first_s * 2 ** min(self._failures - 1, 60)  # an engine may fail for days: no overflow
        return random.uniform(0, min(self._pace.longest_s, grown_s))  # noqa: S311 - a pause, not a secret

    def paused(self) -> float:
        return _seldom(self._pace.paused_s)


def _seldom(seconds: float) -> float:
    return random.uniform(seconds / 2, seconds)  # noqa: S311 - a pause, not a secret
