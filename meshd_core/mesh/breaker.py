"""When a peer that fails is asked again: not at once, not by everybody, and never all peers in step."""

import random
from collections.abc import Callable

from meshd_core.clock import monotonic

FAILURES = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 8.0
_MOST_COUNTED = FAILURES + 10


class Breaker:
    """Open after 3 failures in a row: then one call is let through after each pause of 1 to 8 s."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    def wait_s(self) -> float:
        """Seconds until a call may be tried; 0: now."""
        return max(0.0, self._retry_at - self._clock()) if self.is_open else 0.0

    def admit(self) -> bool:
        """Whether this call may be tried. While the breaker is open, the one that may keeps others out meanwhile."""
        if self.wait_s() > 0:
            return False
        if self.is_open:
            self._retry_at = self._clock() + LONGEST_PAUSE_S
        return True

    def failed(self) -> None:
        self._failures = min(self._failures + 1, _MOST_COUNTED)
        if self.is_open:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failures - FAILURES + 1))
            self._retry_at = self._clock() + random.uniform(max(FIRST_PAUSE_S, longest / 2), longest)  # noqa: S311 - jitter

    def succeeded(self) -> None:
        self._failures = 0
