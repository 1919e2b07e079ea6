"""All sinks of one node."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from meshd_core.config.check import CheckedSink
from meshd_core.contracts.secrets import ReadSecret
from meshd_core.contracts.sinks import FleetSink
from meshd_core.events import EventBus
from meshd_core.types import Node, SinkInfo


class Fleet:
    """Feeds the configured sinks from the bus. `node` tells what a heartbeat says."""

    def __init__(
        self, sinks: Mapping[str, FleetSink], bus: EventBus, state_dir: Path, read_secret: ReadSecret,
        node: Callable[[], Node],
    ) -> None:  # fmt: skip
        self._sinks, self._bus, self._state_dir = sinks, bus, state_dir
        self._read_secret, self._node = read_secret, node

    def update(self, sections: Sequence[CheckedSink]) -> None:
        """The sections of the configuration, at start and after a reload; what stays the same is not disturbed."""

    def infos(self) -> list[SinkInfo]:
        """Every section, in the order of the configuration."""
        return []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
