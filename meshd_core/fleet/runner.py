"""One `[sinks.<name>]` at work: its ring, its batches, its retries.

The runner lives on the daemon's loop and only waits; the sink's code runs in a thread of its own. So whatever a sink
does, the slots see nothing of it but a ring that drops.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.clock import rfc3339
from meshd_core.config.check import CheckedSink
from meshd_core.config.places import private_dir
from meshd_core.contracts.events import FleetEvent
from meshd_core.contracts.secrets import ReadSecret
from meshd_core.contracts.sinks import (
    FleetSink,
    SinkBusy,
    SinkConnection,
    SinkContext,
    SinkPaused,
    SinkRejected,
)
from meshd_core.fleet.masking import SecretMask
from meshd_core.fleet.pace import Breaker, Pace
from meshd_core.fleet.plugin_thread import PluginThread, ThreadStuck
from meshd_core.fleet.ring import EventRing
from meshd_core.fleet.set_aside import SetAside
from meshd_core.types import SinkInfo, SinkStatus

OPEN_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 1.0
_AFTER_FAULT_S = 5.0

log = logging.getLogger(__name__)


class SinkPlace(Struct, frozen=True):
    """Where a sink works."""

    node: str
    boot_id: str
    state_dir: Path
    """Of this instance; made when it is opened."""
    read_secret: ReadSecret
    snapshot: Callable[[], Iterable[FleetEvent]]
    """The state of every slot now, as events."""
    pace: Pace


class SinkRunner:
    """Delivers to one sink until `end`. `put` is called for every event and never waits."""

    def __init__(self, section: CheckedSink, sink: FleetSink | None, place: SinkPlace) -> None:
        self.section, self._sink, self._place = section, sink, place
        self._ring = EventRing(section.delivery.queue_events, section.delivery.queue_bytes)
        self._pending: list[FleetEvent] = []
        self._mask = SecretMask(place.read_secret)
        self._breaker = Breaker(place.pace)
        self._set_aside = SetAside(place.state_dir)
        self._stir = asyncio.Event()
        """Set when a rest is over early: a changed section, the end, a person's wish to try again."""
        self._some, self._full = asyncio.Event(), asyncio.Event()
        self._changed = self._ending = False
        self._status: SinkStatus = "ok"
        self._error: str | None = None
        self._sent = self._retries = self._dropped_seen = 0
        self._last_sent: str | None = None

    # -- from the daemon --

    def put(self, event: FleetEvent, size: int) -> None:
        """Take note of `event`, whose JSON has `size` bytes."""
        self._ring.put(event, size)
        delivery = self.section.delivery
        self._some.set()
        if len(self._ring) >= delivery.batch_events or self._ring.size_bytes >= delivery.batch_bytes:
            self._full.set()

    def reconfigure(self, section: CheckedSink, sink: FleetSink | None) -> None:
        """Open it anew with `section`; what waits is kept and goes to the new one."""
        self.section, self._sink, self._changed = section, sink, True
        self._ring.resize(section.delivery.queue_events, section.delivery.queue_bytes)
        self.nudge()

    def nudge(self) -> None:
        """Try again at once if it rests after a failure: what was wrong may be mended."""
        self._stir.set()
        self._some.set()
        self._full.set()

    def end(self) -> None:
        """Send what waits, once, and let `run` return."""
        self._ending = True
        self.nudge()

    def info(self) -> SinkInfo:
        return SinkInfo(
            name=self.section.name, plugin=self.section.plugin, status=self._status,
            queued=len(self._ring) + len(self._pending), sent=self._sent, dropped=self._ring.dropped,
            rejected=self._set_aside.count, retries=self._retries, last_sent=self._last_sent, error=self._error,
        )  # fmt: skip

    async def run(self) -> None:
        """The task. Owned by the fleet; a fault of ours in one sink must not end the daemon."""
        while True:
            try:
                await self._live()
            except Exception as error:
                log.exception("a sink's runner failed; it goes on", extra={"sink": self.section.name})
                self._show("failed", type(error).__name__)
                await self._rest(_AFTER_FAULT_S)
            if self._ending:
                return

    # -- one opening --

    async def _live(self) -> None:
        """From opening the sink until its section changes or the end comes."""
        self._changed = False
        sink = self._sink
        if sink is None:
            self._show("failed", self.section.unavailable or f"sink {self.section.plugin!r} is not installed")
            await self._rest(None)
            return
        thread = PluginThread(self.section.name)
        connection = None
        try:
            connection = await self._open(sink, thread)
            if connection is not None:
                self._take_snapshot()
                await self._deliver(connection, thread)
        finally:
            await self._close(connection, thread)

    async def _open(self, sink: FleetSink, thread: PluginThread) -> SinkConnection | None:
        """The connection; None: the end or a changed section came first."""
        place = self._place
        context = SinkContext(
            name=self.section.name, node=place.node, boot_id=place.boot_id, options=self.section.options,
            state_dir=place.state_dir, read_secret=self._mask.read,
        )  # fmt: skip

        async def opening() -> SinkConnection:
            private_dir(place.state_dir)
            connection = sink.open(context)
            if not isinstance(connection, SinkConnection):
                raise TypeError(f"open gave no SinkConnection but {type(connection).__name__}")
            return connection

        while True:
            try:
                connection = await thread.call(opening, OPEN_TIMEOUT_S)
            except Exception as error:  # a plugin is called
                await self._rest(self._failed(error, opened=False))
            else:
                self._show("ok", None)
                return connection
            if self._over():
                return None

    async def _close(self, connection: SinkConnection | None, thread: PluginThread) -> None:
        if connection is not None:
            try:
                await thread.call(connection.close, CLOSE_TIMEOUT_S)
            except Exception as error:  # a plugin is called
                facts = {"sink": self.section.name, "reason": self._mask.describe(error)}
                log.warning("a sink did not close", extra=facts)
        if not await thread.stop(CLOSE_TIMEOUT_S):
            log.error("a sink's thread does not end and is left behind", extra={"sink": self.section.name})

    def _over(self) -> bool:
        return self._changed or self._ending

    # -- delivery --

    async def _deliver(self, connection: SinkConnection, thread: PluginThread) -> None:
        """Batch after batch. The limit shrinks where the receiver refuses and grows again where it takes."""
        delivery = self.section.delivery
        limit = delivery.batch_events
        while not self._changed:
            if not self._pending:
                self._pending = await self._next_batch()
            if not self._pending:
                return
            part = tuple(self._pending[:limit])
            pause = 0.0
            try:
                await thread.call(lambda part=part: connection.send(part), delivery.timeout_s)  # type: ignore[misc]
            except SinkRejected as error:
                limit = self._rejected(part, error)
            except Exception as error:  # a plugin is called
                pause = self._failed(error, opened=True)
                limit = 1 if self._breaker.is_open else limit
            else:
                self._delivered(part)
                limit = min(2 * limit, delivery.batch_events)
            if pause and self._ending:
                return
            if pause:
                await self._rest(pause)

    async def _next_batch(self) -> list[FleetEvent]:
        """The next events once it is time to send them; none: the end came, or the section changed."""
        delivery = self.section.delivery
        while not self._over():
            if not self._ring:
                self._some.clear()
                await self._some.wait()
                continue
            self._full.clear()
            left = delivery.batch_wait_s - self._ring.age_s()
            enough = len(self._ring) >= delivery.batch_events or self._ring.size_bytes >= delivery.batch_bytes
            if enough or left <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._full.wait()
        if self._changed:
            return []
        return self._ring.take(delivery.batch_events, delivery.batch_bytes)

    def _delivered(self, part: tuple[FleetEvent, ...]) -> None:
        del self._pending[: len(part)]
        self._sent += len(part)
        self._last_sent = rfc3339()
        self._breaker.succeeded()
        self._show("ok", None)
        if self._ring.dropped > self._dropped_seen and len(self._ring) * 2 < self.section.delivery.queue_events:
            self._take_snapshot()

    def _take_snapshot(self) -> None:
        """Queue the state of every slot, so that the receiver isn't left with what was true before the loss."""
        for event in self._place.snapshot():
            self.put(event, len(msgspec.json.encode(event)))
        self._dropped_seen = self._ring.dropped

    def _rejected(self, part: tuple[FleetEvent, ...], error: SinkRejected) -> int:
        """Halve the batch until the refused event stands alone; then it is set aside. The next limit."""
        self._breaker.succeeded()
        if len(part) > 1:
            return len(part) // 2
        self._set_aside.add(self.section.name, part[0], self._mask.describe(error))
        del self._pending[0]
        return 1

    def _failed(self, error: Exception, *, opened: bool) -> float:
        """Show what happened; the pause before the next try."""
        self._retries += 1
        reason = self._mask.describe(error)
        if isinstance(error, SinkPaused):
            self._show("paused", reason)
            return self._breaker.paused()
        pause = self._breaker.failed(error.retry_after_s if isinstance(error, SinkBusy) else None)
        if isinstance(error, ThreadStuck) or not opened:
            self._show("failed", reason)
        else:
            self._show("open" if self._breaker.is_open else "retrying", reason)
        return pause

    async def _rest(self, seconds: float | None) -> None:
        self._stir.clear()
        if self._over():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()

    def _show(self, status: SinkStatus, error: str | None) -> None:
        changed, self._status, self._error = status != self._status, status, error
        if not changed:
            return
        facts = {"sink": self.section.name, "plugin": self.section.plugin, "status": status, "reason": error or ""}
        log.log(logging.INFO if status == "ok" else logging.WARNING, "a sink's state changed", extra=facts)
