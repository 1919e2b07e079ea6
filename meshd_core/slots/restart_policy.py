"""When an agent that exited unasked is started again: docs/protocol.md, section 5."""

import random
from collections.abc import Callable

from meshd_core.clock import monotonic
from meshd_core.types import RestartPolicy

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
MOST_EXITS = 5
WINDOW_S = 600.0


class RestartBudget:
    """Counts unexpected exits; says how long to wait, or that it is enough. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._exits: list[float] = []
        self._row = 0

    def reset(self) -> None:
        """Started by hand: the count begins anew."""
        self._exits.clear()

    def delay_after_exit(self) -> float | None:
        """Seconds to wait before the next start; None: it was enough.

        1 s, doubled for each further exit, 60 s at most, with jitter of a fifth. Ten minutes without an exit end the
        doubling; five exits within ten minutes are enough.
        """
        now = self._clock()
        self._exits = [at for at in self._exits if now - at < WINDOW_S]
        self._row = self._row + 1 if self._exits else 1
        self._exits.append(now)
        if len(self._exits) >= MOST_EXITS:
            return None
        delay = FIRST_DELAY_S * 2.0 ** min(self._row - 1, 16)
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads restarts, hides nothing
        return min(LONGEST_DELAY_S, min(LONGEST_DELAY_S, delay) * jitter)


def wants_restart(policy: RestartPolicy, code: int | None) -> bool:
    """Whether `policy` restarts an agent that ended by itself with `code` (None: by a signal, or unknown)."""
    return policy == "always" or (policy == "on-failure" and code != 0)
