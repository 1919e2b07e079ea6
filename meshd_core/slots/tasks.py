"""The tasks of one slot: they live with it, and a fault in one of them ends neither the slot nor the daemon."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)

_AFTER_FAULT_S = 1.0

Work = Callable[[], Coroutine[Any, Any, None]]


class SlotTasks:
    """Owns them while `running`."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self, leave: Callable[[], None], **for_ever: Work) -> AsyncIterator[None]:
        """Inside, `for_ever` run under their names. At the end `leave()` comes first, then they are cancelled, and what
        was spawned is waited for.
        """
        async with asyncio.TaskGroup() as self._group:
            own = [
                self._group.create_task(self._keep_going(work), name=f"{name} {self._slot}")
                for name, work in for_ever.items()
            ]
            try:
                yield
            finally:
                leave()
                for task in own:
                    task.cancel()
        self._group = None

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """One more task, which ends by itself."""
        assert self._group is not None
        return self._group.create_task(coroutine, name=name)

    async def _keep_going(self, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("task of a slot failed; it goes on", extra={"slot": self._slot})
            await asyncio.sleep(_AFTER_FAULT_S)
