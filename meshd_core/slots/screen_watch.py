"""When the screen is judged: once it has been quiet for a moment, or has been in motion for too long."""

import asyncio
from collections.abc import Callable

LOOK_AFTER_S = 0.015
LOOK_AT_LATEST_S = 0.06


class ScreenWatch:
    """Calls `look` 15 ms after the last output, 60 ms after the first at the latest; never without output."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._first = 0.0

    def touched(self) -> None:
        """There was output."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._first = now
        else:
            if now + LOOK_AFTER_S >= self._first + LOOK_AT_LATEST_S:
                return
            self._timer.cancel()
        self._timer = loop.call_at(min(now + LOOK_AFTER_S, self._first + LOOK_AT_LATEST_S), self._fire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._look()
