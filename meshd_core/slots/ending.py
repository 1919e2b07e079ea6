"""Ending the processes of a run: the agent's group first, then whatever is left of it, wherever it hid.

A keeper that dies meanwhile is replaced within a second or two, so every request to it is tried again for a while.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from meshd_core.clock import monotonic
from meshd_core.pty.client import KeeperClient
from meshd_core.pty.errors import KeeperError, UnknownRun

log = logging.getLogger(__name__)

KILL_GRACE_S = 5.0
_KEEPER_WAIT_S = 10.0
_RETRY_S = 0.2
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.02, 0.2

T = TypeVar("T")


class KeeperLink(Protocol):
    """The keeper that is there now; another one after a keeper died."""

    @property
    def client(self) -> KeeperClient: ...


class RunEnder:
    """Signals and sweeps the runs of one slot. Every method raises KeeperError if no keeper comes back in time."""

    def __init__(self, keeper: KeeperLink, slot: str) -> None:
        self._keeper, self._slot = keeper, slot

    async def signal_group(self, run: str, signum: int) -> None:
        """Signal the agent's process group, if it is still there."""
        try:
            await self._ask(lambda client: client.kill(run, signum))
        except UnknownRun:
            return

    async def sweep(self, run: str, signum: int) -> int:
        """Signal every process of the run; how many there were."""
        return await self._ask(lambda client: client.sweep(run, signum))

    async def clean_up(self, run: str, grace_s: float) -> None:
        """After the agent's end: end what it left behind, in sessions of their own too, and forget the run.

        SIGTERM and `grace_s`, then SIGKILL until nothing is found any more: they may be forking.
        """
        try:
            if await self.sweep(run, signal.SIGTERM) and not await self._gone(run, grace_s):
                deadline = monotonic() + KILL_GRACE_S
                while await self.sweep(run, signal.SIGKILL):
                    if monotonic() >= deadline:
                        log.error("processes survive SIGKILL", extra={"slot": self._slot, "run": run})
                        break
                    await asyncio.sleep(_SHORTEST_POLL_S)
            await self._ask(lambda client: client.forget(run))
        except UnknownRun:
            return  # a new keeper has never heard of it
        except KeeperError as error:
            log.warning("run not cleaned up", extra={"slot": self._slot, "reason": str(error)})

    async def _gone(self, run: str, within_s: float) -> bool:
        """Wait until no process of `run` is left."""
        pause, deadline = _SHORTEST_POLL_S, monotonic() + within_s
        while await self._ask(lambda client: client.processes(run)):
            if monotonic() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_S)
        return True

    async def _ask(self, request: Callable[[KeeperClient], Awaitable[T]]) -> T:
        deadline = monotonic() + _KEEPER_WAIT_S
        while True:
            try:
                return await request(self._keeper.client)
            except UnknownRun:
                raise
            except KeeperError:
                if monotonic() >= deadline:
                    raise
            await asyncio.sleep(_RETRY_S)
