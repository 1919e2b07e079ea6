"""The running daemon as one engine sees it: what every plugin may read, and prompts into this node's slots."""

from collections.abc import Callable

from meshd_core.contracts.auth import Principal
from meshd_core.contracts.daemon import DaemonCounters
from meshd_core.contracts.events import FleetEvent
from meshd_core.daemon.node import LocalNode
from meshd_core.daemon.plugin_view import PluginView
from meshd_core.events import EventBus
from meshd_core.types import InjectRequest, Node, PeerInfo, PluginInfo, Receipt, SinkInfo, Slot, SlotDetail


class EngineView:
    """Implements `EngineDaemon`. Prompts are judged and recorded as those of the principal `engine:<name>`."""

    def __init__(self, name: str, view: PluginView, node: LocalNode, bus: EventBus) -> None:
        self._view, self._node, self._bus = view, node, bus
        subject = f"engine:{name}"
        self._principal = Principal(subject=subject, scope="inject", slots=("*",), provider="engine", id=subject)

    async def inject(self, slot: str, request: InjectRequest, *, key: str) -> Receipt:
        return await self._node.inject(slot, request, self._principal, key)

    def receipt(self, id: str) -> Receipt:
        return self._node.receipt(id)

    def subscribe(self, on_event: Callable[[FleetEvent], None]) -> Callable[[], None]:
        return self._bus.subscribe(on_event)

    def node(self) -> Node:
        return self._view.node()

    def slots(self) -> list[Slot]:
        return self._view.slots()

    def slot(self, name: str) -> SlotDetail:
        return self._view.slot(name)

    def peers(self) -> list[PeerInfo]:
        return self._view.peers()

    def sinks(self) -> list[SinkInfo]:
        return self._view.sinks()

    def plugins(self) -> list[PluginInfo]:
        return self._view.plugins()

    def counters(self) -> DaemonCounters:
        return self._view.counters()
