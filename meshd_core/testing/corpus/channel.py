"""What a kind's session tells while an agent is recorded, with times; in a thread, since `watch` is a task."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from meshd_core.contracts.kinds import AgentKind, AgentSession, Observation, Run
from meshd_core.slots.agent_channel import MESSAGES_TIMEOUT_S
from meshd_core.types import Conversation

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
ASK_PAUSE_S = 0.25
CLOSE_TIMEOUT_S = 10.0


class Channel:
    """Follows one run until `close`. A `watch` that fails is started again, as core does; from `ask` on the agent's
    own records are asked for again and again, as core does where rows went by unseen.
    """

    def __init__(self, kind: AgentKind, run: Run) -> None:
        self._session: AgentSession = kind.session(run)
        self._reports: list[tuple[float, Observation]] = []
        self._conversations: list[tuple[float, Conversation]] = []
        self._asks = False
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._both())
        self._thread = threading.Thread(target=self._run_loop, daemon=True)
        self._thread.start()

    def reports(self) -> list[tuple[float, Observation]]:
        """Each report with its time, seconds since 1970, oldest first."""
        return list(self._reports)

    def conversations(self) -> list[tuple[float, Conversation]]:
        """What the agent's own records held, whenever that had changed; empty if the kind reads none."""
        return list(self._conversations)

    def resume_meta(self) -> dict[str, str]:
        return dict(self._session.resume_meta())

    def terminal_moved(self) -> None:
        """The agent wrote something, as core tells a session: some look at their files seldom until then."""
        self._on_loop(self._session.terminal_moved)

    def ask(self) -> None:
        """From here on there is something to be said."""
        self._asks = True

    def close(self) -> None:
        self._on_loop(self._task.cancel)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _on_loop(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(call)

    def _run_loop(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _both(self) -> None:
        await asyncio.gather(self._follow(), self._ask())

    async def _ask(self) -> None:
        while True:
            if self._asks:
                await self._read()
            await asyncio.sleep(ASK_PAUSE_S)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(MESSAGES_TIMEOUT_S):
                found = await self._session.messages()
        except Exception:  # not up yet, or ended
            log.debug("the agent's records could not be read", exc_info=True)
            return
        if found is not None and (not self._conversations or self._conversations[-1][1] != found):
            self._conversations.append((time.time(), found))

    async def _follow(self) -> None:
        while True:
            try:
                await self._session.watch(self._report)
                return
            except Exception:
                log.exception("watching the agent failed")
            await asyncio.sleep(RESTART_PAUSE_S)

    def _report(self, observation: Observation) -> None:
        self._reports.append((time.time(), observation))
