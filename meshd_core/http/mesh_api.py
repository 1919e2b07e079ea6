"""The routes that look at all nodes: the table, their slots, their news. Source: protocol section 4."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Annotated

from msgspec import Meta, Struct

from meshd_core.auth.reach import reaches
from meshd_core.clock import monotonic, rfc3339
from meshd_core.contracts.auth import Principal
from meshd_core.errors import Draining, InvalidField, LoopDetected
from meshd_core.http.event_answer import EventAnswer
from meshd_core.http.exchange import ClientGone
from meshd_core.http.fanout import Hub
from meshd_core.http.node_api import Document
from meshd_core.http.routes import Call, NoQuery, RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.http.slots_api import SlotsQuery, slot_filter
from meshd_core.http.sse import COMMENT, event_bytes
from meshd_core.http.stream import CHECK_EVERY_S, COMMENT_EVERY_S
from meshd_core.http.via import require_direct
from meshd_core.mesh.mesh import Mesh
from meshd_core.mesh.news import Item, Listener, state_of
from meshd_core.types import (
    ByeEvent,
    MeshDialog,
    MeshInject,
    MeshSlots,
    MeshState,
    NodeList,
    NodeOutcome,
    PeerInfo,
)

MESH_EVENTS: dict[str, type[Struct]] = {
    "node": NodeOutcome,
    "state": MeshState,
    "dialog": MeshDialog,
    "inject": MeshInject,
    "bye": ByeEvent,
}


class MeshStreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    local: Annotated[bool, Meta(description="this node's own alone: what other nodes ask for")] = False


class MeshApi:
    """Handlers. What the caller's globs don't reach is left out, slot by slot."""

    def __init__(self, service: NodeService, mesh: Mesh, hub: Hub, closing: asyncio.Event, url: str) -> None:
        self._service, self._mesh, self._hub, self._closing, self._url = service, mesh, hub, closing, url

    async def nodes(self, call: Call[NoQuery, None]) -> NodeList:
        node = self._service.node()
        own = PeerInfo(
            node=node.name, url=self._url, reachable=True, rtt_ms=0.0, skew_s=0.0, last_seen=node.now, age_ms=0,
            version=node.version, boot_id=node.boot_id, features=node.features, self=True,
        )  # fmt: skip
        return NodeList([own, *self._mesh.peers()])

    async def slots(self, call: Call[SlotsQuery, None]) -> MeshSlots:
        wanted = slot_filter(call.query)
        require_direct(call.exchange)
        found = await self._mesh.survey()
        slots = [slot for slot in self._service.slots() if self._reaches(call.principal, slot.name, slot.node)]
        slots += [slot for part in found for slot in part.slots if self._reaches(call.principal, slot.name, slot.node)]
        outcomes = [NodeOutcome(self._service.name, "ok", 0), *(part.outcome for part in found)]
        return MeshSlots(list(filter(wanted, slots)), outcomes)

    async def stream(self, call: Call[MeshStreamQuery, None]) -> None:
        if not call.query.local:
            require_direct(call.exchange)
        if self._closing.is_set():
            raise Draining("the daemon is ending")

        def reached(item: Item) -> bool:
            return item.slot is None or self._reaches(call.principal, item.slot, item.node)

        def allowed(principal: Principal) -> bool:
            return principal.allows("read") and principal.slots == call.principal.slots

        answer = EventAnswer(call.exchange, allowed)
        with self._hub.counted(), self._mesh.news.listening(own_only=call.query.local) as listener:
            await answer.start()
            await answer.write(_encoded(filter(reached, self._snapshot(call.query.local))))
            await self._follow(answer, listener, reached)

    async def _follow(self, answer: EventAnswer, listener: Listener, reached: Callable[[Item], bool]) -> None:
        """Send what comes, until either end goes, the credential ends, or the listener fell too far behind."""
        connection = answer.exchange.connection
        closing = asyncio.ensure_future(self._closing.wait())
        closing.add_done_callback(lambda _: listener.wake())
        connection.on_lost = listener.wake
        sent_at = checked_at = monotonic()
        try:
            while not self._closing.is_set() and not listener.lost:
                if connection.gone:
                    raise ClientGone
                if data := _encoded(filter(reached, listener.take())):
                    await answer.write(data)
                    sent_at = monotonic()
                elif monotonic() - sent_at >= COMMENT_EVERY_S:
                    await answer.write(COMMENT)
                    sent_at = monotonic()
                if monotonic() - checked_at >= CHECK_EVERY_S:
                    checked_at = monotonic()
                    if not await answer.still_allowed():
                        await answer.end()
                        return
                await listener.wait(CHECK_EVERY_S)
        finally:
            connection.on_lost = None
            closing.cancel()
        await answer.end("draining" if self._closing.is_set() else "too far behind")

    def _snapshot(self, own_only: bool) -> Iterator[Item]:
        own = self._service.name
        yield Item("node", own, None, NodeOutcome(own, "ok", 0))
        now = rfc3339()
        for slot in self._service.slots():
            yield Item("state", own, slot.name, state_of(slot.address, now, slot))
        for link in () if own_only else self._mesh.links():
            yield from link.known()

    def _reaches(self, principal: Principal, slot: str, node: str) -> bool:
        return reaches(principal, slot, node, self._service.name)


def mesh_routes(mesh: MeshApi) -> list[RouteSpec]:
    return [
        RouteSpec("GET", "/mesh/nodes", "read", mesh.nodes, "the nodes that this one knows, as it sees them", NodeList),
        RouteSpec(
            "GET", "/mesh/slots", "read", mesh.slots, "the slots of all nodes, as far as they can be had", MeshSlots,
            query=SlotsQuery, errors=(InvalidField, LoopDetected),
        ),
        RouteSpec(
            "GET", "/mesh/stream", "read", mesh.stream, "states, dialogs and receipts of all nodes as they move",
            Document, query=MeshStreamQuery, content_type="text/event-stream", events=MESH_EVENTS,
            errors=(LoopDetected, Draining),
        ),
    ]  # fmt: skip


def _encoded(items: Iterator[Item]) -> bytes:
    return b"".join(event_bytes(item.event, item.data) for item in items)
