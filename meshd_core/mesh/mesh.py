"""The mesh of one node: its table of peers, and what may be asked of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from meshd_core.config.check import CheckedConfig
from meshd_core.config.secrets import resolve
from meshd_core.errors import NodeNotFound
from meshd_core.mesh.peer import Peer
from meshd_core.types import PeerInfo


class Mesh:
    """The other nodes of the table. `running()` owns the probes."""

    def __init__(self, config: CheckedConfig) -> None:
        self._node = config.node
        self._peers: dict[str, Peer] = {}
        self._retired: list[Peer] = []
        self.update(config)

    def update(self, config: CheckedConfig) -> None:
        """Take up a changed table; what stays the same is not disturbed."""
        old, self._peers = self._peers, {}
        read_secret = partial(resolve, base=config.loaded.base)
        for section in config.config.nodes:
            known = old.pop(section.name, None)
            if known is not None and known.section == section:
                self._peers[section.name] = known
            else:
                self._peers[section.name] = Peer(section, self._node, read_secret)
                self._retired += [known] if known is not None else []
        self._retired += old.values()

    def peer(self, name: str) -> Peer:
        """Raises NodeNotFound."""
        if name not in self._peers:
            known = ", ".join([self._node, *self._peers])
            raise NodeNotFound("this node knows no node of that name", hint=f"it knows: {known}")
        return self._peers[name]

    def peers(self) -> list[PeerInfo]:
        """The table as it is seen now."""
        return [peer.info() for peer in self._peers.values()]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for peer in [*self._peers.values(), *self._retired]:
                await peer.close()
