"""A fleet on the test's own loop, with sinks that misbehave and a node that keeps its slots in a list."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meshd_core.config.check import CheckedSink
from meshd_core.config.model import DeliverySection
from meshd_core.contracts.secrets import SecretRef
from meshd_core.contracts.sinks import FleetSink
from meshd_core.events import EventBus
from meshd_core.fleet.fleet import Fleet
from meshd_core.fleet.pace import Pace
from meshd_core.testing.sinks import MemorySink
from meshd_core.types import Node, SinkInfo, Slot, SlotCounts
from tests.http.memory_node import MemoryNode

QUICK = Pace(first_s=0.01, longest_s=0.02, open_after=3, open_s=0.05, paused_s=0.05)
SECRET = "hunter2-hunter2"


class OneNode:
    def __init__(self) -> None:
        self.names = ["demo", "other"]

    def node(self) -> Node:
        counts = SlotCounts(len(self.names), {"running": 2}, {"idle": 2})
        return Node("mac1", "b", "0.1.0", "1.0", [], "now", "then", 1, counts, [0.5])

    def slots(self) -> list[Slot]:
        return MemoryNode(self.names).slots()


class RunningFleet:
    """What a test works with."""

    def __init__(self, sinks: Mapping[str, FleetSink], state_dir: Path, options: dict[str, Any]) -> None:
        self.bus = EventBus("mac1")
        self.state = OneNode()
        self.fleet = Fleet(sinks, self.bus, state_dir, _read, self.state, **({"pace": QUICK} | options))

    def info(self, name: str = "a") -> SinkInfo:
        return next(info for info in self.fleet.infos() if info.name == name)

    async def until(self, condition: Callable[[], object], within_s: float = 20) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"it did not come true; {self.fleet.infos()}")


def _read(ref: SecretRef) -> str:
    return SECRET


def section(name: str = "a", plugin: str = "memory", options: Any = None, **delivery: Any) -> CheckedSink:
    """A section whose batches go at once."""
    return CheckedSink(name, plugin, options, delivery=DeliverySection(**({"batch_wait_s": 0.0} | delivery)))


@pytest.fixture
def run_fleet(short_tmp: Path) -> Callable[..., Any]:
    """`async with run_fleet(sink, sections...) as running`; further keywords are Fleet's."""

    @asynccontextmanager
    async def run(sink: FleetSink, *sections: CheckedSink, **options: Any) -> AsyncIterator[RunningFleet]:
        running = RunningFleet({sink.name: sink}, short_tmp / "sinks", options)
        running.fleet.update(sections or (section(),))
        async with running.fleet.running(("http://127.0.0.1:9451",)):
            yield running

    return run


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def types(events: Sequence[Any]) -> list[str]:
    return [event.type for event in events]
