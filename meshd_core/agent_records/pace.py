"""How often an agent's own records are looked at: what an agent records, its terminal shows as well."""

import asyncio
from contextlib import suppress

from meshd_core.clock import monotonic

OFTEN_S = 0.2
SELDOM_S = 2.0
CALM_AFTER_S = 5.0
"""After its terminal's last output; a record comes up to 0.5 s later, on a busy machine some seconds."""


class Pace:
    """The pauses between two looks: `OFTEN_S` while the terminal moves and a while after, `SELDOM_S` in its silence.

    Looked at 5 times a second, the files of 50 agents that do nothing would take some percent of a core.
    """

    def __init__(
        self, often_s: float = OFTEN_S, seldom_s: float = SELDOM_S, calm_after_s: float = CALM_AFTER_S
    ) -> None:
        self._often_s, self._seldom_s, self._calm_after_s = often_s, seldom_s, calm_after_s
        self._moved_at = monotonic()
        self._stirred = asyncio.Event()

    def moved(self) -> None:
        """The terminal had output. On the loop."""
        self._moved_at = monotonic()
        self._stirred.set()

    @property
    def calm(self) -> bool:
        """Whether the terminal has been silent for long."""
        return monotonic() - self._moved_at >= self._calm_after_s

    async def wait(self) -> None:
        """Until the next look is due; in the silence it is due when the terminal moves, too."""
        if not self.calm:
            await asyncio.sleep(self._often_s)
            return
        self._stirred.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seldom_s):
                await self._stirred.wait()
