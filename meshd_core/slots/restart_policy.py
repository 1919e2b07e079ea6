"""When an agent that exited unasked is started again: docs/protocol.md, section 5."""

import random

from meshd_core.clock import monotonic
from meshd_core.types import RestartPolicy

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
MOST_EXITS = 5
WINDOW_S = 600.0


class RestartBudget:
    """Counts unexpected exits; says how long to wait, or that it is enough."""

    def __init__(self) -> None:
        self._exits: list[float] = []

    def reset(self) -> None:
        """Started by hand: the count begins anew."""
        self._exits.clear()

    def delay_after_exit(self) -> float | None:
        """Seconds to wait before the next start (1 s, doubled each time, to 60 s, with jitter); None: enough."""
        now = monotonic()
        self._exits = [at for at in self._exits if now - at < WINDOW_S] + [now]
        if len(self._exits) >= MOST_EXITS:
            return None
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (len(self._exits) - 1))
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads restarts, hides nothing


def wants_restart(policy: RestartPolicy, code: int | None) -> bool:
    """Whether `policy` restarts an agent that ended by itself with `code` (None: by a signal, or unknown)."""
    return policy == "always" or (policy == "on-failure" and code != 0)
