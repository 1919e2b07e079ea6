"""Slots of other nodes: one place decides by the address whether a call is answered here or by another node.

Every route with a slot, or a receipt, in its path goes through here. The caller's scope and globs are judged before
anything is sent; the other node is asked with this node's own token, and judges that. Source: protocol section 4.
"""

import asyncio
import re
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from meshd_core.auth.reach import EVERYTHING, reaches, reaches_some
from meshd_core.client.answers import BadAnswer, decode, error_from
from meshd_core.client.connection import Answer
from meshd_core.contracts.auth import Principal
from meshd_core.errors import (
    Draining,
    Forbidden,
    InjectNotFound,
    LoopDetected,
    MeshdError,
    NodeNotFound,
    NotProxied,
    PeerError,
    PeerTimeout,
    SlotNotFound,
    TooManyFailures,
    Unauthorized,
)
from meshd_core.http.draining import unless_closing
from meshd_core.http.fanout import Hub
from meshd_core.http.relay import Relay
from meshd_core.http.routes import Call, Handler, Reply, RouteSpec
from meshd_core.http.via import require_direct, subject_claim
from meshd_core.mesh.mesh import Mesh
from meshd_core.mesh.peer import Peer
from meshd_core.types import NAME_PATTERN, InjectRequest, Receipt, Scope

T = TypeVar("T")
PROXIED: frozenset[Scope | None] = frozenset({"read", "inject", "approve"})
SWITCHING = 101
"""The status of a route that makes a WebSocket of its connection: never passed through, and neither is its ticket."""
_NAME = re.compile(NAME_PATTERN)
_PASSED_STATUSES = frozenset({400, 403, 404, 409, 413, 422, 429, 500, 501, 502, 503, 504, 508})
_PASSED_HEADERS = ("meshd-next", "meshd-lost-lines")
_ERRORS: tuple[type[MeshdError], ...] = (PeerError, PeerTimeout, LoopDetected)


class Proxy:
    """Turns handlers of this node's slots into handlers of any node's."""

    def __init__(self, mesh: Mesh, own: str, hub: Hub, closing: asyncio.Event) -> None:
        self._mesh, self._own, self._hub, self._closing = mesh, own, hub, closing

    @property
    def errors(self) -> tuple[type[MeshdError], ...]:
        """What a call of another node's slot may end with besides."""
        return _ERRORS

    def around(self, spec: RouteSpec) -> RouteSpec:
        """`spec` for slots of every node; as it is if it has nothing to do with a slot."""
        if spec.path == "/injects/{id}":
            return self._with(spec, self._by_receipt(spec), _ERRORS)
        if "{slot}" not in spec.path or spec.body is InjectRequest:
            return spec  # a prompt is dispatched: see dispatch_api
        if spec.scope not in PROXIED or spec.status == SWITCHING:
            return self._with(spec, self._refusing(spec), (NotProxied,))
        return self._with(spec, self._by_slot(spec), _ERRORS)

    def _with(self, spec: RouteSpec, handler: Handler, errors: tuple[type[MeshdError], ...]) -> RouteSpec:
        return msgspec.structs.replace(spec, handler=handler, errors=(*spec.errors, *errors))

    def _by_slot(self, spec: RouteSpec) -> Handler:
        async def handler(call: Call[Any, Any]) -> Struct | None:
            address = Address.parse(call.params["slot"])
            if address.node in (None, self._own):
                return await spec.handler(call)
            peer = self.peer_of(call, address)
            target = spec.path.replace("{slot}", str(address))
            if spec.content_type == "text/event-stream":
                await self._relay(call, peer, address, target)
                return None
            return await self._forward(call, peer, spec, target)

        return handler

    def _refusing(self, spec: RouteSpec) -> Handler:
        async def handler(call: Call[Any, Any]) -> Struct | None:
            address = Address.parse(call.params["slot"])
            if address.node in (None, self._own):
                return await spec.handler(call)
            raise not_proxied(self.peer_of(call, address))

        return handler

    def _by_receipt(self, spec: RouteSpec) -> Handler:
        async def handler(call: Call[Any, Any]) -> Struct | None:
            ulid, _, node = call.params["id"].partition("@")
            if node in ("", self._own):
                return await spec.handler(call)
            if not reaches_some(call.principal, node, self._own) or not ulid.isalnum() or not ulid.isascii():
                raise InjectNotFound
            require_direct(call.exchange)
            target = f"/injects/{ulid}@{node}"
            # Whose receipt it is shows only in the receipt: it is read first, whatever is to be done with it.
            try:
                peer = self._mesh.peer(node)
                answer = await self._ask(call, peer, "GET", target)
            except (PeerError, PeerTimeout, Draining, InjectNotFound, NodeNotFound) as error:
                if spec.method != "GET":
                    raise
                return self._as_sent_from_here(call, f"{ulid}@{node}", error)
            receipt = decode_from(peer, answer, Receipt)
            if not reaches(call.principal, receipt.slot, node, self._own):
                raise InjectNotFound
            if spec.method == "GET":
                return Reply(answer.body)
            return await self._forward(call, peer, spec, target)

        return handler

    def _as_sent_from_here(self, call: Call[Any, Any], id: str, error: MeshdError) -> Receipt:
        """What this node itself can tell of a receipt that its node can't, or doesn't have. Raises `error` if it is
        none that was sent from here.
        """
        dispatcher = self._mesh.dispatcher
        receipt = dispatcher.missing(id) if isinstance(error, InjectNotFound) else dispatcher.doubtful(id)
        if receipt is None or not reaches(call.principal, receipt.slot, receipt.node, self._own):
            raise error
        return receipt

    def peer_of(self, call: Call[Any, Any], address: "Address") -> Peer:
        """The node of `address`, if the caller may reach that slot and the call came directly. Raises SlotNotFound,
        LoopDetected, NodeNotFound.
        """
        node = self._own if address.node is None else address.node
        if not _NAME.fullmatch(address.slot) or not reaches(call.principal, address.slot, node, self._own):
            raise SlotNotFound(f"{address.slot}@{node}"[:130])
        require_direct(call.exchange)
        return self._mesh.peer(node)

    async def _forward(self, call: Call[Any, Any], peer: Peer, spec: RouteSpec, target: str) -> Reply:
        answer = await self._ask(call, peer, spec.method, target, spec.own_wait_s)
        if answer.content_type.startswith("application/json"):
            decode_from(peer, answer, spec.answer)
            content_type = None
        elif spec.other_content_type is not None and answer.content_type == spec.other_content_type:
            content_type = spec.other_content_type
        else:
            raise _garbage(peer.name, "an answer of a type that this route doesn't have")
        headers = [
            (name.encode(), value.encode())
            for name in _PASSED_HEADERS
            if (value := answer.headers.get(name)) is not None and value.isascii() and value.isprintable()
        ]
        return Reply(answer.body, answer.status, content_type, tuple(headers))

    async def _ask(self, call: Call[Any, Any], peer: Peer, method: str, target: str, own_wait_s: float = 0.0) -> Answer:
        query = call.exchange.scope["query_string"].decode("latin-1")
        work = peer.ask(
            method,
            f"{target}?{query}" if query else target,
            body=None if call.body is None else as_sent(call.body),
            headers=subject_claim(call.principal),
            timeout_s=_wait_s(call.query) + own_wait_s,
        )
        answer = await unless_closing(self._closing, work)
        if answer.status >= 400:
            raise error_of(peer, answer, call.principal)
        return answer

    async def _relay(self, call: Call[Any, Any], peer: Peer, address: "Address", target: str) -> None:
        headers = subject_claim(call.principal)
        if last_id := call.exchange.headers.get("last-event-id"):
            # What no id can be needs no care: the other node answers any unknown one with a gap.
            headers["Last-Event-ID"] = last_id if last_id.isascii() and last_id.isprintable() else "unknown"
        if self._closing.is_set():
            raise Draining("the daemon is ending")

        def allowed(principal: Principal) -> bool:
            return principal.allows("read") and reaches(principal, address.slot, peer.name, self._own)

        query = call.exchange.scope["query_string"].decode("latin-1")
        relay = Relay(call.exchange, self._closing, allowed)
        try:
            with self._hub.counted():
                await relay.run(peer, f"{target}?{query}" if query else target, headers)
        except MeshdError as error:
            raise as_shown(peer.name, error, call.principal) from error


class Address(Struct, frozen=True):
    """`slot` or `slot@node`; its text is safe in a path. A node's name is judged by looking it up."""

    slot: str
    node: str | None

    @classmethod
    def parse(cls, text: str) -> "Address":
        slot, at, node = text.partition("@")
        return cls(slot, node if at else None)

    def __str__(self) -> str:
        slot = quote(self.slot, safe="")
        return slot if self.node is None else f"{slot}@{quote(self.node, safe='')}"


def not_proxied(peer: Peer) -> NotProxied:
    """What a call gets that only the slot's own node answers."""
    hint = f"'meshd login {peer.name}' keeps a token of your own for it; the meshd command then asks it directly"
    message = f"node {peer.name!r} does this only for a caller with a token of its own there, not for another node"
    return NotProxied(message, hint=hint, node=peer.name, url=peer.url)


def as_sent(body: Struct) -> bytes:
    """`body` with what the caller said alone: a node of an older version need not know every field that we do."""
    said = {
        field.encode_name: getattr(body, field.name)
        for field in msgspec.structs.fields(body)
        if field.required or getattr(body, field.name) != _default(field)
    }
    return msgspec.json.encode(said)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _wait_s(query: Any) -> float:
    """How long the call itself waits: a `wait_s` without anything to wait for is none."""
    if getattr(query, "wait_for", "") is None:
        return 0.0
    return float(getattr(query, "wait_s", 0.0))


def decode_from(peer: Peer, answer: Answer, shape: type[T]) -> T:
    """The answer as `shape`, with keys that a newer node has left aside. Raises PeerError if it is none."""
    try:
        return decode(answer.body, shape, peer.url)
    except BadAnswer as error:
        raise _garbage(peer.name, f"something that is no {shape.__name__}") from error


def error_of(peer: Peer, answer: Answer, principal: Principal) -> MeshdError:
    """The error that the node answered, as its caller may see it."""
    try:
        error = error_from(answer.status, answer.body, peer.url)
    except BadAnswer:
        return _garbage(peer.name, f"status {answer.status} without an error of meshd's form")
    return as_shown(peer.name, error, principal)


def as_shown(node: str, error: MeshdError, principal: Principal) -> MeshdError:
    """An error that came from the node, or of asking it, as the caller may see it."""
    if error.status != type(error).status and type(error) is not MeshdError:
        return _garbage(node, f"the status {error.status} with the code {error.code!r}")
    if error.status not in _PASSED_STATUSES or isinstance(error, Unauthorized | TooManyFailures):
        return _garbage(node, f"status {error.status}")  # what only this node may say to its callers
    if isinstance(error, Forbidden):
        message = f"node {node!r} refuses this to this node: {error.message}"
        return Forbidden(message, hint="its token for this node lacks it", node=node)
    if isinstance(error, InjectNotFound):
        return InjectNotFound()  # in this node's words, in which it also says that one is out of reach
    if isinstance(error, SlotNotFound):
        slot = str(error.details.get("slot", "")).partition("@")[0]
        # The node's own hint may name a slot out of the caller's reach, or mean its own 'meshd ls'.
        nearest = error.hint if EVERYTHING in principal.slots and "did you mean" in (error.hint or "") else None
        return SlotNotFound(f"{slot[:80]}@{node}", hint=nearest)
    return error


def _garbage(node: str, what: str) -> PeerError:
    return PeerError(f"node {node!r} answered {what}", node=node, outcome="garbage", sent=True)
