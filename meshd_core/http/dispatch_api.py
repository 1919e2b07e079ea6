"""Prompts for slots of any node: by address, by selection, for all that match. Source: protocol section 4."""

from typing import Any

import msgspec

from meshd_core.auth.reach import reaches
from meshd_core.contracts.auth import Principal
from meshd_core.errors import (
    Draining,
    IdempotencyMismatch,
    InvalidField,
    InvalidJson,
    JsonRequired,
    LoopDetected,
    NodeNotFound,
    NoIdleSlot,
    Overloaded,
    TooLarge,
)
from meshd_core.http.proxy import Address, Proxy, as_shown
from meshd_core.http.routes import Call, NoQuery, Reply, RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.http.slots_api import KEY_HEADER, check_text, idempotency_key
from meshd_core.http.via import require_direct, subject_claim
from meshd_core.mesh.dispatch import Sender
from meshd_core.mesh.mesh import Mesh
from meshd_core.mesh.selection import InjectHere, Selector
from meshd_core.slots.receipts import reached
from meshd_core.types import (
    BroadcastAnswer,
    BroadcastRequest,
    InjectRequest,
    MeshInjectRequest,
    NodeOutcome,
    Receipt,
    Slot,
)


class DispatchApi:
    """Handlers. The caller's scope and globs are judged here, before anything is sent."""

    def __init__(self, service: NodeService, mesh: Mesh, proxy: Proxy) -> None:
        self._service, self._mesh, self._proxy = service, mesh, proxy
        self._selector = Selector(service.name, mesh.dispatcher)

    def around(self, spec: RouteSpec) -> RouteSpec:
        """The route of prompts for slots of every node; any other as it is."""
        if spec.path != "/inject/{slot}":
            return spec

        async def handler(call: Call[NoQuery, InjectRequest]) -> Any:
            address = Address.parse(call.params["slot"])
            if address.node in (None, self._service.name):
                return await spec.handler(call)
            peer = self._proxy.peer_of(call, address)
            check_text(call.body.text)
            receipt = await self._mesh.dispatcher.inject(address.slot, peer.name, call.body, _sender(call))
            return _reply(receipt, call.body)

        return msgspec.structs.replace(spec, handler=handler, errors=(*spec.errors, *self._proxy.errors))

    async def inject_one(self, call: Call[NoQuery, MeshInjectRequest]) -> Reply:
        require_direct(call.exchange)
        check_text(call.body.text)
        self._require_known(call.body.select.node)
        slots, _ = await self._slots(call.principal)
        receipt = await self._selector.one(slots, call.body, _sender(call), self._here(call.principal))
        return _reply(receipt, call.body)

    async def broadcast(self, call: Call[NoQuery, BroadcastRequest]) -> BroadcastAnswer:
        require_direct(call.exchange)
        check_text(call.body.text)
        self._require_known(call.body.select.node)
        slots, nodes = await self._slots(call.principal)
        receipts, failures = await self._selector.all(slots, call.body, _sender(call), self._here(call.principal))
        return BroadcastAnswer(receipts, failures, nodes)

    def _here(self, principal: Principal) -> InjectHere:
        """Types into a slot of this node for `principal`."""

        async def inject(name: str, request: InjectRequest, key: str | None, receipt: str) -> Receipt:
            return await self._service.inject(name, request, principal, key, receipt)

        return inject

    def _require_known(self, node: str | None) -> None:
        """Raises NodeNotFound for a selection by a node that isn't in the table: it would match nothing, unnoticed."""
        if node not in (None, self._service.name):
            self._mesh.peer(node)

    async def _slots(self, principal: Principal) -> tuple[list[Slot], list[NodeOutcome]]:
        """The slots that the caller reaches, of this node and of all others, as fresh as they can be had."""
        own = self._service.name
        found = await self._mesh.survey()
        slots = [*self._service.slots(), *(slot for one in found for slot in one.slots)]
        nodes = [NodeOutcome(own, "ok", 0), *(one.outcome for one in found)]
        return [slot for slot in slots if reaches(principal, slot.name, slot.node, own)], nodes


_BODY = (InvalidJson, InvalidField, JsonRequired, TooLarge)


def dispatch_routes(dispatch: DispatchApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "POST", "/mesh/inject", "inject", dispatch.inject_one, "give a prompt to one slot that matches", Receipt,
            body=MeshInjectRequest, other_status=(202,), headers=(KEY_HEADER,),
            errors=(*_BODY, NoIdleSlot, NodeNotFound, IdempotencyMismatch, LoopDetected, Draining, Overloaded),
        ),
        RouteSpec(
            "POST", "/mesh/broadcast", "inject", dispatch.broadcast, "give a prompt to every slot that matches",
            BroadcastAnswer, body=BroadcastRequest, headers=(KEY_HEADER,),
            errors=(*_BODY, NodeNotFound, LoopDetected, Draining, Overloaded),
        ),
    ]  # fmt: skip


def _sender(call: Call[Any, Any]) -> Sender:
    principal = call.principal
    id, key = principal.id or principal.subject, idempotency_key(call.exchange)
    return Sender(id, subject_claim(principal), key, lambda node, error: as_shown(node, error, principal))


def _reply(receipt: Receipt, request: InjectRequest) -> Reply:
    return Reply(receipt, 200 if reached(receipt, request.until) else 202)
