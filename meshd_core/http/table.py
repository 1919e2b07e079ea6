"""All routes of core, in one table. Frequent ones stand first: paths are tried in this order."""

import asyncio

from msgspec import Struct, field

from meshd_core.errors import (
    ConfigInvalid,
    DialogChanged,
    Draining,
    Forbidden,
    HumanTyping,
    IdempotencyMismatch,
    InjectNotCancellable,
    InjectNotFound,
    InvalidField,
    InvalidJson,
    JsonRequired,
    NodeNotFound,
    NotFound,
    NotSupported,
    Overloaded,
    QueueFull,
    SlotAlreadyRunning,
    SlotBusy,
    SlotNotFound,
    SlotNotRunning,
    SlotRemoved,
    SlotsStillRunning,
    SlotWaiting,
    StartFailed,
    TooLarge,
)
from meshd_core.fleet.fleet import Fleet
from meshd_core.http.attach_api import AttachApi, AttachQuery
from meshd_core.http.audit import AuditLog
from meshd_core.http.control_api import ControlApi
from meshd_core.http.dispatch_api import DispatchApi, dispatch_routes
from meshd_core.http.fanout import Hub
from meshd_core.http.fleet_api import fleet_routes
from meshd_core.http.mesh_api import MeshApi, mesh_routes
from meshd_core.http.node_api import Document, NodeApi
from meshd_core.http.proxy import Proxy
from meshd_core.http.routes import RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.http.slots_api import (
    KEY_HEADER,
    MessagesQuery,
    OutputQuery,
    SlotQuery,
    SlotsApi,
    SlotsQuery,
    StreamQuery,
)
from meshd_core.http.tickets import TicketStore
from meshd_core.mesh.mesh import Mesh
from meshd_core.slots.hands import ANSWER_TAKES_S
from meshd_core.types import (
    AnswerRequest,
    AnswerResult,
    Health,
    InjectRequest,
    InterruptRequest,
    KeysAnswer,
    KeysRequest,
    MessagePage,
    NewToken,
    Node,
    OutputPage,
    PluginList,
    Receipt,
    ReloadReport,
    ReloadRequest,
    ResizeRequest,
    RestartRequest,
    Screen,
    ShutdownAnswer,
    ShutdownRequest,
    Slot,
    SlotDetail,
    SlotList,
    StartRequest,
    StopRequest,
    Ticket,
    TicketRequest,
    TokenInfo,
    TokenList,
    TokenRequest,
)

_SLOT = (SlotNotFound, NodeNotFound)
_BODY = (InvalidJson, InvalidField, JsonRequired, TooLarge)
_LAST_ID_HEADER = ("Last-Event-ID", "resume exactly after this event; wins over `since` and `tail`")


_FOR_NODES = frozenset({
    "/health", "/node", "/slots", "/slots/{slot}", "/inject/{slot}", "/injects/{id}", "/output/{slot}",
    "/stream/{slot}", "/screen/{slot}", "/messages/{slot}", "/answer/{slot}", "/mesh/stream",
})  # fmt: skip


def for_nodes(spec: RouteSpec) -> bool:
    """Whether `mesh_port` serves this route: what other nodes need, never control or administration."""
    return spec.path in _FOR_NODES and spec.plugin is None and spec.scope not in ("control", "admin")


class RouteParts(Struct, frozen=True):
    """What the handlers of core's routes work with; `mesh` and `fleet` None: this app has none, as in tests."""

    service: NodeService
    hub: Hub
    closing: asyncio.Event
    mesh: Mesh | None = None
    fleet: Fleet | None = None
    url: str = ""
    """One under which this node can be reached."""
    tickets: TicketStore = field(default_factory=TicketStore)
    audit: AuditLog | None = None


def core_routes(parts: RouteParts, node: NodeApi) -> list[RouteSpec]:
    """The table. Source: protocol sections 3 and 4."""
    slots = SlotsApi(parts.service, parts.hub, parts.closing)
    attach = AttachApi(parts.service, slots, parts.tickets, parts.closing, parts.audit)
    specs = [
        *_slot_routes(slots), *_output_routes(slots), *_lifecycle_routes(slots),
        *_control_routes(ControlApi(parts.service, slots)), *_attach_routes(attach), *_node_routes(node),
        *fleet_routes(parts.fleet),
    ]  # fmt: skip
    if parts.mesh is None:
        return specs
    proxy = Proxy(parts.mesh, parts.service.name, parts.hub, parts.closing)
    mesh = MeshApi(parts.service, parts.mesh, parts.hub, parts.closing, parts.url)
    dispatch = DispatchApi(parts.service, parts.mesh, proxy)
    return [*(dispatch.around(proxy.around(spec)) for spec in specs), *mesh_routes(mesh), *dispatch_routes(dispatch)]


def _slot_routes(slots: SlotsApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "POST", "/inject/{slot}", "inject", slots.inject, "type a prompt", Receipt,
            body=InjectRequest, other_status=(202,), headers=(KEY_HEADER,),
            errors=(
                *_SLOT, *_BODY, Forbidden, SlotNotRunning, SlotRemoved, SlotBusy, SlotWaiting, HumanTyping,
                IdempotencyMismatch, QueueFull, NotSupported, Draining, Overloaded,
            ),
        ),
        RouteSpec(
            "GET", "/slots/{slot}", "read", slots.slot,
            "one slot; waits for a state with `wait_for`, tells why with `explain`", SlotDetail,
            query=SlotQuery, errors=(*_SLOT, InvalidField, Draining),
        ),
        RouteSpec(
            "GET", "/slots", "read", slots.slots, "the slots that the credential reaches", SlotList,
            query=SlotsQuery, errors=(InvalidField,),
        ),
        RouteSpec(
            "GET", "/injects/{id}", "read", slots.receipt, "a receipt", Receipt, errors=(InjectNotFound,),
        ),
        RouteSpec(
            "DELETE", "/injects/{id}", "inject", slots.cancel, "cancel a prompt that is still queued", Receipt,
            errors=(InjectNotFound, InjectNotCancellable),
        ),
    ]  # fmt: skip


def _output_routes(slots: SlotsApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "GET", "/output/{slot}", "read", slots.output, "lines from the ring; waits for some with `wait_s`",
            OutputPage, query=OutputQuery, errors=(*_SLOT, InvalidField),
            other_content_type="text/plain; charset=utf-8",
        ),
        RouteSpec(
            "GET", "/stream/{slot}", "read", slots.stream, "the slot's events as they happen", Document,
            query=StreamQuery, content_type="text/event-stream", headers=(_LAST_ID_HEADER,),
            errors=(*_SLOT, InvalidField, Draining),
        ),
        RouteSpec(
            "GET", "/screen/{slot}", "read", slots.screen, "what a person would see now", Screen,
            errors=(*_SLOT, SlotNotRunning),
        ),
        RouteSpec(
            "GET", "/messages/{slot}", "read", slots.messages, "the conversation as turns", MessagePage,
            query=MessagesQuery, errors=(*_SLOT, InvalidField, SlotNotRunning, Draining),
        ),
    ]  # fmt: skip


def _lifecycle_routes(slots: SlotsApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "POST", "/start/{slot}", "control", slots.start, "start the agent", Slot, body=StartRequest,
            errors=(*_SLOT, *_BODY, SlotAlreadyRunning, SlotRemoved, StartFailed, NotSupported, Draining),
        ),
        RouteSpec(
            "POST", "/stop/{slot}", "control", slots.stop, "stop the agent", Slot, body=StopRequest,
            errors=(*_SLOT, *_BODY, SlotNotRunning, Draining),
        ),
        RouteSpec(
            "POST", "/restart/{slot}", "control", slots.restart, "stop, then start the agent", Slot,
            body=RestartRequest, errors=(*_SLOT, *_BODY, SlotRemoved, StartFailed, NotSupported, Draining),
        ),
    ]  # fmt: skip


def _control_routes(control: ControlApi) -> list[RouteSpec]:
    hands = (*_SLOT, *_BODY, SlotNotRunning, Draining, Overloaded)
    return [
        RouteSpec(
            "POST", "/keys/{slot}", "control", control.keys, "press keys, or send raw bytes", KeysAnswer,
            body=KeysRequest, errors=hands,
        ),
        RouteSpec(
            "POST", "/interrupt/{slot}", "control", control.interrupt, "stop the present turn", Slot,
            body=InterruptRequest, errors=(*hands, SlotWaiting, NotSupported),
        ),
        RouteSpec(
            "POST", "/answer/{slot}", "approve", control.answer, "answer the open dialog", AnswerResult,
            body=AnswerRequest, errors=(*hands, DialogChanged, NotSupported), own_wait_s=ANSWER_TAKES_S,
        ),
        RouteSpec(
            "POST", "/resize/{slot}", "control", control.resize, "give the terminal another size", Slot,
            body=ResizeRequest, errors=hands,
        ),
    ]  # fmt: skip


def _attach_routes(attach: AttachApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "GET", "/attach/{slot}", "read", attach.attach,
            "a WebSocket to the terminal: `control` to type, `read` with mode=view", Document, query=AttachQuery,
            status=101, errors=(*_SLOT, InvalidField, SlotNotRunning, Draining),
        ),
        RouteSpec(
            "POST", "/tickets", "read", attach.ticket, "a credential for one WebSocket, for browsers", Ticket,
            body=TicketRequest, status=201, errors=(*_SLOT, *_BODY),
        ),
    ]  # fmt: skip


def _node_routes(node: NodeApi) -> list[RouteSpec]:
    return [
        RouteSpec(
            "GET", "/health", None, node.health, "whether the node works; the only route without a credential", Health,
            other_status=(503,),
        ),
        RouteSpec("GET", "/node", "read", node.node, "this node: versions, features, load", Node),
        RouteSpec("GET", "/plugins", "read", node.plugins, "what is installed", PluginList),
        RouteSpec("GET", "/openapi.json", "read", node.openapi, "this document", Document),
        RouteSpec(
            "POST", "/reload", "admin", node.reload, "read the configuration again; a bad file changes nothing",
            ReloadReport, body=ReloadRequest,
            errors=(*_BODY, ConfigInvalid, SlotsStillRunning, Draining, Overloaded),
        ),
        RouteSpec(
            "POST", "/shutdown", "admin", node.shutdown, "end the daemon, and its agents unless kept", ShutdownAnswer,
            body=ShutdownRequest, status=202, errors=_BODY,
        ),
        RouteSpec("GET", "/tokens", "admin", node.tokens, "all tokens, without their secrets", TokenList,
                  errors=(NotSupported, Overloaded)),
        RouteSpec(
            "POST", "/tokens", "admin", node.create_token, "a new token; its secret is told only here", NewToken,
            body=TokenRequest, status=201, errors=(*_BODY, NotSupported, Overloaded),
        ),
        RouteSpec(
            "DELETE", "/tokens/{kid}", "admin", node.revoke_token, "end a token at once", TokenInfo,
            errors=(NotFound, NotSupported, Overloaded),
        ),
    ]  # fmt: skip
