"""Waiting for a slot's state: whoever waits looks again after each change."""

import asyncio
from collections.abc import Callable


class Changes:
    """The changes of one slot's status, activity, dialog and configuration."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._closed = False

    async def wait(self, reached: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait for a change after which `reached()`; False if none came in time, or before the slot was no more."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._closed and not reached():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return not self._closed

    def wake(self) -> None:
        """Something changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """The slot is no more: nobody waits any longer."""
        self._closed = True
        self.wake()
