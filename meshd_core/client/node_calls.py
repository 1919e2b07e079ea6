"""The calls of the node itself, of its mesh and of its fleet sinks. Source: docs/protocol.md sections 2 to 4."""

from __future__ import annotations  # half the time that importing this takes

from collections.abc import Iterable
from typing import Any, Literal

from meshd_core.client.answers import BadAnswer, decode
from meshd_core.client.call import Call, checked, delete, get, part, path, post, typed
from meshd_core.client.connection import Answer
from meshd_core.client.slot_calls import LIFECYCLE_WAIT_S, idempotency
from meshd_core.types import (
    BroadcastAnswer,
    BroadcastRequest,
    Health,
    MeshInjectRequest,
    MeshSlots,
    NewToken,
    Node,
    NodeList,
    PeerInfo,
    PluginInfo,
    PluginList,
    Receipt,
    ReloadReport,
    ReloadRequest,
    Scope,
    ShutdownAnswer,
    ShutdownRequest,
    SinkInfo,
    SinkList,
    Ticket,
    TicketRequest,
    TokenInfo,
    TokenList,
    TokenRequest,
)

MESH_WAIT_S = 10.0
"""How much longer than other calls one that asks other nodes may take: each is given up after a few seconds."""


def health() -> Call[Health]:
    """Whether the daemon is well; "draining" comes as an answer too, not as an error."""
    return get("/health", _health)


def node() -> Call[Node]:
    """Name, versions, features and load of the node."""
    return get("/node", typed(Node))


def plugins() -> Call[list[PluginInfo]]:
    """What is installed, in the order in which it is asked."""
    return get("/plugins", part(PluginList, lambda found: found.plugins))


def openapi() -> Call[dict[str, Any]]:
    """The contract as an OpenAPI 3.1 document."""
    return get("/openapi.json", typed(dict[str, Any]))


def metrics() -> Call[str]:
    """The node's metrics as text for Prometheus. Raises NotFound where no exporter is installed."""
    return get("/metrics", _text)


def reload(*, restart: Literal["none", "changed"] = "none", stop_removed: bool = False) -> Call[ReloadReport]:
    """Read the configuration again. "changed" restarts the slots that would be stale.

    Raises ConfigInvalid with all that is wrong, SlotsStillRunning unless `stop_removed`.
    """
    body = ReloadRequest(restart=restart, stop_removed=stop_removed)
    return post("/reload", typed(ReloadReport), body, wait_s=LIFECYCLE_WAIT_S)


def shutdown(agents: Literal["stop", "keep"] = "stop") -> Call[ShutdownAnswer]:
    """End agents, keeper and daemon; "keep": the daemon alone. Answers before it is done."""
    return post("/shutdown", typed(ShutdownAnswer), ShutdownRequest(agents=agents))


def ticket(target: str) -> Call[Ticket]:
    """A credential for one WebSocket, good once and for 30 s, for exactly this path and query."""
    return post("/tickets", typed(Ticket), TicketRequest(path=target), repeatable=True)


def tokens() -> Call[list[TokenInfo]]:
    """All tokens, without their secrets."""
    return get("/tokens", part(TokenList, lambda found: found.tokens))


def create_token(
    scope: Scope, *, slots: Iterable[str] = ("*",), label: str | None = None, expires: str | None = None
) -> Call[NewToken]:
    """A new token; `expires` as `30d`, `12h` or `90m`, None for never. Its secret is never shown again."""
    body = TokenRequest(scope=scope, slots=tuple(slots), label=label, expires=expires)
    return post("/tokens", typed(NewToken), body)


def revoke_token(kid: str) -> Call[TokenInfo]:
    """End a token at once."""
    return delete(path("tokens", kid), typed(TokenInfo))


def mesh_nodes() -> Call[list[PeerInfo]]:
    """The node table with what is known of each node."""
    return get("/mesh/nodes", part(NodeList, lambda found: found.nodes), wait_s=MESH_WAIT_S)


def mesh_slots(
    *, kind: str | None = None, status: str | None = None, activity: str | None = None, labels: Iterable[str] = ()
) -> Call[MeshSlots]:
    """Slots of all nodes, as far as they can be had: `nodes` says what is missing or old. Filters as of `slots`."""
    query = {"kind": kind, "status": status, "activity": activity, "label": list(labels)}
    return get("/mesh/slots", typed(MeshSlots), query, wait_s=MESH_WAIT_S)


def mesh_inject(request: MeshInjectRequest, *, key: str | None = None) -> Call[Receipt]:
    """Have a prompt typed into one slot that matches `request.select`, wherever it is; `key` as for `inject`."""
    return post(
        "/mesh/inject", typed(Receipt), request,
        wait_s=MESH_WAIT_S + request.timeout_s, headers=idempotency(key), repeatable=True,
    )  # fmt: skip


def mesh_broadcast(request: BroadcastRequest, *, key: str | None = None) -> Call[BroadcastAnswer]:
    """Have a prompt typed into every slot that matches `request.select`."""
    return post(
        "/mesh/broadcast", typed(BroadcastAnswer), request,
        wait_s=MESH_WAIT_S + request.timeout_s, headers=idempotency(key),
    )  # fmt: skip


def sinks() -> Call[list[SinkInfo]]:
    """The fleet sinks, in the order of the configuration."""
    return get("/sinks", part(SinkList, lambda found: found.sinks))


def _health(answer: Answer, address: str) -> Health:
    draining = answer.status == 503 and b'"status"' in answer.body
    return decode((answer if draining else checked(answer, address)).body, Health, address)


def _text(answer: Answer, address: str) -> str:
    try:
        return checked(answer, address).body.decode()
    except UnicodeDecodeError as error:
        raise BadAnswer(f"{address} answered with something that is not text: {error}") from error
