"""What plugins may see of the running daemon, and what engines may do with it."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from meshd_core.contracts.events import FleetEvent
from meshd_core.types import InjectRequest, Node, PeerInfo, PluginInfo, Receipt, SinkInfo, Slot, SlotDetail


class DaemonInfo(Struct, frozen=True):
    """Told to `meshd_daemon_ready` once adoption is done and the listeners are open."""

    node: str
    boot_id: str
    version: str
    urls: tuple[str, ...]


class DaemonCounters(Struct, frozen=True):
    """Counts since the daemon's start, and gauges."""

    uptime_s: float
    requests: int
    """HTTP requests answered."""
    requests_failed: int
    """Answered with a status of 500 and above."""
    auth_failures: int
    """Wrong credentials."""
    connections: int
    """Open now."""
    streams: int
    """Event streams open now."""
    audit_lost: int
    """Lines of the audit log that could not be written."""


class DaemonView(Protocol):
    """Reads the running daemon. Before it is up, and in commands, every method raises `Draining`."""

    def node(self) -> Node: ...
    def slots(self) -> list[Slot]: ...
    def slot(self, name: str) -> SlotDetail: ...
    def peers(self) -> list[PeerInfo]: ...
    def sinks(self) -> list[SinkInfo]: ...
    def plugins(self) -> list[PluginInfo]: ...
    def counters(self) -> DaemonCounters: ...


class EngineDaemon(DaemonView, Protocol):
    """What an engine works with: this node's slots alone."""

    async def inject(self, slot: str, request: InjectRequest, *, key: str) -> Receipt:
        """Have a prompt typed, as `POST /inject` does; with a `key` that was used before, join that prompt."""

    def receipt(self, id: str) -> Receipt: ...

    def subscribe(self, on_event: Callable[[FleetEvent], None]) -> Callable[[], None]:
        """Have `on_event` called, at once and on the event loop, for each event; call the result to end it."""


class Engine:
    """Base class of work-queue engines: something outside that hands prompts to idle slots.

    Core runs `run` as one task from the daemon's readiness until its end; if it raises, that is logged, attributed to
    the plugin, and it is started again after a growing pause.
    """

    name: str

    async def run(self, daemon: EngineDaemon) -> None:
        """Work until cancelled."""
        raise NotImplementedError
