"""The running daemon as plugins see it: there from the start, able to answer once the daemon is up."""

from collections.abc import Callable

from meshd_core.contracts.daemon import DaemonCounters
from meshd_core.daemon.node import LocalNode
from meshd_core.errors import Draining
from meshd_core.fleet.fleet import Fleet
from meshd_core.mesh.mesh import Mesh
from meshd_core.types import Node, PeerInfo, PluginInfo, SinkInfo, Slot, SlotDetail


class PluginView:
    """Implements `DaemonView`. Handed out before its parts exist, because plugins are asked before slots are made."""

    def __init__(self) -> None:
        self._parts: tuple[LocalNode, Mesh, Fleet, Callable[[], DaemonCounters]] | None = None

    def open(self, node: LocalNode, mesh: Mesh, fleet: Fleet, counters: Callable[[], DaemonCounters]) -> None:
        """The daemon is up."""
        self._parts = node, mesh, fleet, counters

    def _open(self) -> tuple[LocalNode, Mesh, Fleet, Callable[[], DaemonCounters]]:
        if self._parts is None:
            raise Draining("the daemon is not up yet")
        return self._parts

    def node(self) -> Node:
        return self._open()[0].node()

    def slots(self) -> list[Slot]:
        return self._open()[0].slots()

    def slot(self, name: str) -> SlotDetail:
        return self._open()[0].slot(name)

    def peers(self) -> list[PeerInfo]:
        return self._open()[1].peers()

    def sinks(self) -> list[SinkInfo]:
        return self._open()[2].infos()

    def plugins(self) -> list[PluginInfo]:
        return self._open()[0].plugins().plugins

    def counters(self) -> DaemonCounters:
        return self._open()[3]()
