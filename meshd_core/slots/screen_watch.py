"""When the screen is judged: once it has been quiet for a moment, or has been in motion for too long."""

import asyncio
from collections.abc import Callable

LOOK_AFTER_S = 0.015
LOOK_AT_LATEST_S = 0.06


class ScreenWatch:
    """Calls `look` 15 ms after the last output, 60 ms after the first at the latest; never without output.

    While output goes on, looks are 60 ms apart: each costs some 0.3 ms.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._first = self._last = self._looked = 0.0

    def touched(self, when: float) -> None:
        """There was output, read at `when` (monotonic): counted from there, this and the transcript look in one turn of
        the loop.
        """
        self._last = when
        if self._timer is None:
            self._first = self._last
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._last + LOOK_AFTER_S, self._looked + LOOK_AT_LATEST_S), self._fire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        # The timer runs on instead of being set anew at each output, which may come hundreds of times a second.
        loop = asyncio.get_running_loop()
        due = min(self._last + LOOK_AFTER_S, self._first + LOOK_AT_LATEST_S)
        if loop.time() < due:
            self._timer = loop.call_at(due, self._fire)
            return
        self._timer = None
        self._looked = loop.time()
        self._look()
