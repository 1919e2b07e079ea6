"""The mesh of one node: its table of peers, what is known of them, and what may be asked of them."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from meshd_core.config.check import CheckedConfig
from meshd_core.config.problems import did_you_mean, shown
from meshd_core.config.secrets import resolve
from meshd_core.errors import NodeNotFound, PeerError, PeerTimeout
from meshd_core.events import EventBus
from meshd_core.mesh.dispatch import Dispatcher
from meshd_core.mesh.dispatch_store import DispatchStore
from meshd_core.mesh.link import Link
from meshd_core.mesh.news import News
from meshd_core.mesh.peer import Peer
from meshd_core.mesh.survey import Found, Survey
from meshd_core.types import NodeChange, PeerInfo

PROBE_EVERY_S = 5.0
"""How often a node that answers is asked who it is; one that fails is asked as its breaker says."""
_AGAIN_S = 1.0

log = logging.getLogger(__name__)


class Mesh:
    """The other nodes of the table. `running()` owns the probes, and the streams of news while somebody listens."""

    def __init__(self, config: CheckedConfig, bus: EventBus, state_dir: Path) -> None:
        """`state_dir`: where dispatches are kept. Raises OSError and sqlite3.OperationalError (disk full)."""
        self._node = config.node
        self._dispatches = DispatchStore(state_dir / "dispatches.db")
        self.dispatcher = Dispatcher(self._dispatches, self.peer)
        self._peers: dict[str, Peer] = {}
        self._probes: dict[Peer, asyncio.Task[None]] = {}
        self._links: dict[Peer, tuple[Link, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._survey = Survey()
        self.news = News(bus, self._listened)
        self.update(config)

    def update(self, config: CheckedConfig) -> list[NodeChange]:
        """Take up a changed table, and tell what changed; what stays the same is not disturbed."""
        old, self._peers = self._peers, {}
        read_secret = partial(resolve, base=config.loaded.base)
        for section in config.config.nodes:
            known = old.get(section.name)
            same = known is not None and known.section == section
            self._peers[section.name] = known if known is not None and same else Peer(section, self._node, read_secret)
        self._survey.forget(name for name, peer in old.items() if self._peers.get(name) is not peer)
        self._tend()
        changes = [NodeChange(name, "removed") for name in old if name not in self._peers]
        for name, peer in self._peers.items():
            if peer is not old.get(name):
                changes.append(NodeChange(name, "updated" if name in old else "added"))
        return changes

    def peer(self, name: str) -> Peer:
        """Raises NodeNotFound."""
        if name not in self._peers:
            known = [self._node, *self._peers]
            hint = did_you_mean(name, known, otherwise=f"it knows: {', '.join(known)}")
            raise NodeNotFound(f"node {self._node!r} knows no node {shown(name)}", hint=hint)
        return self._peers[name]

    def peers(self) -> list[PeerInfo]:
        """The table as it is seen now."""
        return [peer.info() for peer in self._peers.values()]

    async def survey(self) -> list[Found]:
        """The slots of every other node, as far as they can be had within about 2 s."""
        return await self._survey.take(self._peers.values())

    def links(self) -> list[Link]:
        """What is known of the other nodes from their streams, while somebody listens."""
        return [link for link, _ in self._links.values()]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as self._group:
            self._tend()
            try:
                yield
            finally:
                for task in [*self._probes.values(), *(task for _, task in self._links.values())]:
                    task.cancel()
                self._group = None
        self._dispatches.close()

    def _listened(self, listened: bool) -> None:
        """Somebody began to listen to the news, or nobody does any more."""
        if not listened:
            for _, task in self._links.values():
                task.cancel()
            self._links = {}
        self._tend()

    def _tend(self) -> None:
        """Have a task for each peer of the table, and none for any other."""
        if self._group is None:
            return
        current = set(self._peers.values())
        for gone in self._probes.keys() - current:
            self._probes.pop(gone).cancel()
        for gone in self._links.keys() - current:
            link, task = self._links.pop(gone)
            task.cancel()
            link.gone(None if gone.name in self._peers else "it is in this node's table no more")
        for peer in current - self._probes.keys():
            self._probes[peer] = self._group.create_task(_keep_probing(peer), name=f"probe {peer.name}")
        for peer in current - self._links.keys() if self.news.listened else ():
            link = Link(peer, self.news.tell)
            self._links[peer] = (link, self._group.create_task(link.run(), name=f"news of {peer.name}"))


async def _keep_probing(peer: Peer) -> None:
    """Until cancelled; closes the peer then."""
    told: str | None = None
    try:
        while True:
            pause_s = PROBE_EVERY_S * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
            try:
                await peer.probe()
            except (PeerError, PeerTimeout):
                pause_s = max(_AGAIN_S, peer.retry_in_s())
            reason = peer.info().error
            if reason != told and reason is not None:
                log.warning("a node of the mesh can't be used", extra={"node": peer.name, "reason": reason})
            elif reason != told:
                log.info("a node of the mesh is back", extra={"node": peer.name})
            told = reason
            await asyncio.sleep(pause_s)
    finally:
        await peer.close()
