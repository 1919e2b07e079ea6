"""Work-queue engines at work: each is one task, from the daemon's readiness until its end.

They run on the daemon's loop, because they work with its slots; like a hook, one that blocks it can't be interrupted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from meshd_core.clock import monotonic
from meshd_core.contracts.daemon import Engine, EngineDaemon
from meshd_core.fleet.pace import Breaker, Pace
from meshd_core.fleet.plugin_thread import PluginFault
from meshd_core.plugins.failures import PLUGIN_ERRORS

PACE = Pace(first_s=2.0, open_after=1_000_000)
STEADY_S = 60.0
"""An engine that ran for so long has recovered: its next failure is the first again."""
END_S = 3.0
"""How long the end of the daemon waits for engines that were cancelled."""

log = logging.getLogger(__name__)

Blame = Callable[[str, BaseException | None], None]
"""Told the engine's name and what it raised; None: it works again."""


class Engines:
    """Runs `engines`; `view` gives each the daemon as it may see it."""

    def __init__(
        self, engines: Mapping[str, Engine], view: Callable[[str], EngineDaemon], blame: Blame, pace: Pace = PACE,
        steady_s: float = STEADY_S,
    ) -> None:  # fmt: skip
        self._engines, self._view, self._blame = engines, view, blame
        self._pace, self._steady_s = pace, steady_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They work inside; leaving cancels them, and waits for them within END_S."""
        tasks = {
            asyncio.create_task(self._keep_going(name, engine), name=f"engine {name}")
            for name, engine in self._engines.items()
        }
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=END_S)
                for task in late:
                    log.error("an engine does not end", extra={"task": task.get_name()})

    async def _keep_going(self, name: str, engine: Engine) -> None:
        breaker = Breaker(self._pace)
        loop = asyncio.get_running_loop()
        while True:
            begun = monotonic()
            steady = loop.call_later(self._steady_s, self._blame, name, None)
            try:
                await self._run(name, engine)
            except PLUGIN_ERRORS as error:
                self._blame(name, error)
            finally:
                steady.cancel()
            if monotonic() - begun >= self._steady_s:
                breaker.succeeded()
            await asyncio.sleep(breaker.failed())

    async def _run(self, name: str, engine: Engine) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await engine.run(self._view(name))
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            raise PluginFault("it cancelled itself") from None
        raise PluginFault("it returned, instead of working until it is cancelled")
