"""The ASGI application: every request goes through the gate, then to its route; every error leaves in our form."""

import asyncio
import logging

from msgspec import Struct
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from meshd_core import __version__
from meshd_core.auth.chain import AuthChain
from meshd_core.auth.tokens import TokenStore
from meshd_core.errors import Internal, MeshdError, MethodNotAllowed, NotFound, TooManyFailures, Unauthorized
from meshd_core.fleet.fleet import Fleet
from meshd_core.http.audit import AuditLog
from meshd_core.http.counters import HttpCounters
from meshd_core.http.endpoint import Endpoint
from meshd_core.http.exchange import ClientGone, Exchange
from meshd_core.http.fanout import Hub
from meshd_core.http.gate import Gate, GateRules
from meshd_core.http.node_api import NodeApi, plugin_routes
from meshd_core.http.openapi import document
from meshd_core.http.protocol import RequestIds
from meshd_core.http.routes import RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.http.table import RouteParts, core_routes, for_nodes
from meshd_core.http.tickets import TicketStore
from meshd_core.http.via import check_via
from meshd_core.mesh.mesh import Mesh

PROTOCOL = "1.0"

log = logging.getLogger(__name__)


class AppParts(Struct, frozen=True):
    """What an app is made of. `tokens` None: the node does not use tokens; `audit` None: no audit log."""

    service: NodeService
    chain: AuthChain
    rules: GateRules
    mesh: Mesh | None = None
    fleet: Fleet | None = None
    tokens: TokenStore | None = None
    audit: AuditLog | None = None
    urls: tuple[str, ...] = ()
    """Where this node can be reached."""
    mesh_port: int | None = None
    """The port on which only what other nodes need is served."""


class HttpApp:
    """One app for all listeners; the listener shows in the request's connection."""

    def __init__(self, parts: AppParts) -> None:
        self.closing = asyncio.Event()
        self.counters = HttpCounters()
        self.hub = Hub()
        self.request_ids = RequestIds()
        self._audit = parts.audit
        self._mesh = parts.mesh
        self._service = parts.service
        self._named = (b"meshd-node", parts.service.name.encode())
        tickets = TicketStore()
        self._gate = Gate(parts.service, parts.chain, parts.rules, tickets)
        node = NodeApi(parts.service, parts.tokens)
        url = parts.urls[0] if parts.urls else ""
        routed = RouteParts(parts.service, self.hub, self.closing, parts.mesh, parts.fleet, url, tickets, parts.audit)
        self.routes: list[RouteSpec] = [*core_routes(routed, node), *plugin_routes(parts.service)]
        """The one table: what is served, with which scope."""
        node.document = document(self.routes, __version__, PROTOCOL)
        self._router = _router(self.routes, parts.audit)
        self._mesh_port = parts.mesh_port
        self._mesh_router = _router([spec for spec in self.routes if for_nodes(spec)], parts.audit)

    def configure(self, rules: GateRules, audit_text: bool) -> None:
        """The configuration changed: names and origins that are ours, and whether prompts' texts are kept."""
        self._gate.use(rules)
        if self._audit is not None:
            self._audit.keep_text = audit_text

    @property
    def audit_lost(self) -> int:
        """Lines of the audit log that could not be written."""
        return 0 if self._audit is None else self._audit.lost

    def close(self) -> None:
        """Streams say `bye`, long waits end; the listeners are the server's business."""
        self.closing.set()
        self.hub.close()
        if self._mesh is not None:
            self._mesh.dispatcher.close()

    def release(self) -> None:
        """Close files, once no request is left."""
        if self._audit is not None:
            self._audit.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self.request_ids.next())
        self.counters.requests += 1
        try:
            exchange.read_headers()
            await self._gate.admit(exchange)
            if exchange.principal is not None:
                exchange.extra.append(self._named)
            check_via(exchange, self._service.name)
            if self._gate.is_preflight(exchange):
                await exchange.answer(204, b"", headers=_PREFLIGHT)
                return
            scope["exchange"] = exchange
            for_mesh = self._mesh_port is not None and exchange.connection.local_port == self._mesh_port
            await (self._mesh_router if for_mesh else self._router)(scope, receive, send)
        except MeshdError as error:
            await self._fail(exchange, error)
        except ClientGone:
            return
        except Exception:  # the last resort of a server: the caller gets a code, the log the trace
            log.exception("request failed", extra={"request_id": exchange.request_id.decode(), "path": scope["path"]})
            await self._fail(exchange, Internal("something went wrong inside meshd", hint="the log has the request id"))

    async def _fail(self, exchange: Exchange, error: MeshdError) -> None:
        headers: list[tuple[bytes, bytes]] = []
        if error.status >= 500:
            self.counters.failed += 1
        elif isinstance(error, Unauthorized | TooManyFailures) and "authorization" in exchange.headers:
            self.counters.auth_failures += 1
        if isinstance(error, Unauthorized):
            headers.append((b"www-authenticate", b'Bearer realm="meshd"'))
        elif isinstance(error, MethodNotAllowed):  # RFC 9110 section 15.5.6 demands the header
            headers.append((b"allow", str(error.details.get("allow", "")).encode()))
        elif isinstance(error, TooManyFailures):
            headers.append((b"retry-after", str(error.details.get("retry_after_s", 60)).encode()))
        try:
            await exchange.fail(error, headers)
        except ClientGone:
            return


_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, last-event-id"),
    (b"access-control-max-age", b"600"),
)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound("there is no such route", hint="GET /openapi.json lists them")


def _router(specs: list[RouteSpec], audit: AuditLog | None) -> Router:
    return Router(_by_path(specs, audit), redirect_slashes=False, default=_not_found)


def _by_path(specs: list[RouteSpec], audit: AuditLog | None) -> list[Route]:
    paths: dict[str, list[RouteSpec]] = {}
    for spec in specs:
        paths.setdefault(spec.path, []).append(spec)
    return [Route(path, Endpoint(found, audit)) for path, found in paths.items()]
