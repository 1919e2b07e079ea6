"""All sinks of one node, and the events that only the node as a whole can tell: it lives, it changed, it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from meshd_core.clock import monotonic
from meshd_core.config.check import CheckedSink
from meshd_core.contracts.events import FleetEvent, HeartbeatData, NodeData
from meshd_core.contracts.secrets import ReadSecret
from meshd_core.contracts.sinks import FleetSink
from meshd_core.events import EventBus
from meshd_core.fleet.pace import Pace
from meshd_core.fleet.runner import SinkPlace, SinkRunner
from meshd_core.slots.views import slot_data
from meshd_core.types import Node, SinkInfo, Slot

HEARTBEAT_S = 30.0
FLUSH_S = 2.0
"""How long the end waits for sinks to send what is left; then they are cut off."""

log = logging.getLogger(__name__)


class NodeState(Protocol):
    """What a heartbeat and a snapshot tell."""

    def node(self) -> Node: ...
    def slots(self) -> list[Slot]: ...


class Fleet:
    """Feeds the configured sinks from the bus."""

    def __init__(
        self, sinks: Mapping[str, FleetSink], bus: EventBus, state_dir: Path, read_secret: ReadSecret,
        state: NodeState, *, heartbeat_s: float = HEARTBEAT_S, flush_s: float = FLUSH_S, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self._sinks, self._bus, self._state_dir = sinks, bus, state_dir
        self._read_secret, self._state = read_secret, state
        self._heartbeat_s, self._flush_s, self._pace = heartbeat_s, flush_s, pace or Pace()
        self._runners: dict[str, SinkRunner] = {}
        self._tasks: dict[SinkRunner, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._urls: tuple[str, ...] = ()
        self._started = monotonic()

    def update(self, sections: Sequence[CheckedSink]) -> None:
        """The sections of the configuration, at start and after a reload.

        An unchanged one is not disturbed, but one that rests after a failure tries at once; a changed one is opened
        anew and keeps what waits; a removed one sends what waits, once, and ends.
        """
        before, self._runners = self._runners, {}
        for section in sections:
            sink = None if section.unavailable else self._sinks.get(section.plugin)
            runner = before.pop(section.name, None)
            if runner is None:
                runner = self._new(section, sink)
            elif runner.section == section:
                runner.nudge()
            else:
                runner.reconfigure(section, sink)
            self._runners[section.name] = runner
        for runner in before.values():
            self._end(runner)
        if self._group is not None:
            self._announce("reloaded")

    def infos(self) -> list[SinkInfo]:
        """Every section, in the order of the configuration."""
        return [runner.info() for runner in self._runners.values()]

    @asynccontextmanager
    async def running(self, urls: tuple[str, ...] = ()) -> AsyncIterator[None]:
        """Sinks deliver inside; leaving sends what is left, within `flush_s`. `urls`: where the node listens."""
        self._urls = urls
        async with asyncio.TaskGroup() as self._group:
            for runner in self._runners.values():
                self._start(runner)
            unsubscribe = self._bus.subscribe(self._on_event)
            heartbeat = self._group.create_task(self._beat(), name="heartbeat")
            self._announce("up")
            try:
                yield
            finally:
                heartbeat.cancel()
                self._announce("down")
                unsubscribe()
                for runner in self._runners.values():
                    runner.end()
                await self._finish(tuple(self._tasks.values()))
        self._group = None

    # -- runners --

    def _new(self, section: CheckedSink, sink: FleetSink | None) -> SinkRunner:
        place = SinkPlace(
            node=self._bus.node, boot_id=self._bus.boot_id, state_dir=self._state_dir / section.name,
            read_secret=self._read_secret, snapshot=self._snapshot, pace=self._pace,
        )  # fmt: skip
        runner = SinkRunner(section, sink, place)
        if self._group is not None:
            self._start(runner)
        return runner

    def _start(self, runner: SinkRunner) -> None:
        assert self._group is not None
        task = self._group.create_task(runner.run(), name=f"sink {runner.section.name}")
        self._tasks[runner] = task
        task.add_done_callback(lambda _: self._tasks.pop(runner, None))

    def _end(self, runner: SinkRunner) -> None:
        """Of a section that is no more, while the others go on."""
        runner.end()
        if self._group is not None and (task := self._tasks.get(runner)) is not None:
            self._group.create_task(self._finish((task,)), name=f"end of sink {runner.section.name}")

    async def _finish(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for `tasks` to end by themselves, then cut them off."""
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._flush_s)
        for task in late:
            log.warning("a sink did not send everything in time", extra={"task": task.get_name()})
            task.cancel()
        if late:
            await asyncio.wait(late)

    # -- events --

    def _on_event(self, event: FleetEvent) -> None:
        if not self._runners:
            return
        size = len(msgspec.json.encode(event))
        for runner in self._runners.values():
            runner.put(event, size)

    def _snapshot(self) -> Iterator[FleetEvent]:
        for slot in self._state.slots():
            yield self._bus.stamp(slot.name, slot_data(slot))

    def _announce(self, event: Literal["up", "reloaded", "down"]) -> None:
        node = self._state.node()
        self._bus.publish(
            None,
            NodeData(
                event=event, version=node.version, protocol=node.protocol, started_at=node.started_at,
                slots=[slot.name for slot in self._state.slots()], urls=list(self._urls),
            ),
        )  # fmt: skip

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            node = self._state.node()
            uptime_s = round(monotonic() - self._started, 1)
            self._bus.publish(
                None, HeartbeatData(version=node.version, uptime_s=uptime_s, slots=node.slots, load=node.load)
            )
