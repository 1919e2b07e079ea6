"""The routes of the node: health, plugins, tokens, shutdown, what plugins bring. Source: protocol sections 2 to 4."""

import asyncio
import logging
import re
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.auth.reach import reaches, reaches_all
from meshd_core.auth.tokens import StoredToken, TokenStore, TokensUnreadable
from meshd_core.contracts.routes import Route, RouteReply, RouteRequest
from meshd_core.errors import Internal, NotSupported, Overloaded
from meshd_core.http.routes import Call, NoQuery, Reply, RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.types import (
    Health,
    NewToken,
    Node,
    PluginList,
    ReloadReport,
    ReloadRequest,
    ShutdownAnswer,
    ShutdownRequest,
    SlotCounts,
    TokenInfo,
    TokenList,
    TokenRequest,
)

PLUGIN_ROUTE_TIMEOUT_S = 30.0
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,100}")

log = logging.getLogger(__name__)


class Document(Struct, frozen=True):
    """Stands for a JSON document whose shape is not ours (OpenAPI, a plugin's answer)."""


class NodeApi:
    """Handlers of the node's routes."""

    def __init__(self, service: NodeService, tokens: TokenStore | None) -> None:
        self._service = service
        self._tokens = tokens
        self.document = b"{}"
        """The OpenAPI document, set by the app once all routes are known."""

    async def health(self, call: Call[NoQuery, None]) -> Reply:
        health: Health = self._service.health()
        return Reply(health, 503 if health.status == "draining" else 200)

    async def node(self, call: Call[NoQuery, None]) -> Node:
        """The node; its counts are of the slots that the caller reaches."""
        found = self._service.node()
        if reaches_all(call.principal):
            return found
        own = self._service.name
        seen = [slot for slot in self._service.slots() if reaches(call.principal, slot.name, own, own)]
        return replace(found, slots=SlotCounts.of(seen))

    async def plugins(self, call: Call[NoQuery, None]) -> PluginList:
        return self._service.plugins()

    async def openapi(self, call: Call[NoQuery, None]) -> Reply:
        return Reply(self.document)

    async def reload(self, call: Call[NoQuery, ReloadRequest]) -> ReloadReport:
        return await self._service.reload(call.body)

    async def shutdown(self, call: Call[NoQuery, ShutdownRequest]) -> ShutdownAnswer:
        self._service.shutdown(call.body.agents)
        return ShutdownAnswer("draining", call.body.agents)

    async def tokens(self, call: Call[NoQuery, None]) -> TokenList:
        try:
            return TokenList([_info(token) for token in self._store().all()])
        except TokensUnreadable as error:
            raise _unreadable(error) from error

    async def create_token(self, call: Call[NoQuery, TokenRequest]) -> NewToken:
        body = call.body
        try:
            create = self._store().create  # in a thread: it locks and syncs a file
            credential, token = await asyncio.to_thread(create, body.scope, body.slots, body.label, body.expires)
        except TokensUnreadable as error:
            raise _unreadable(error) from error
        except OSError as error:
            raise Overloaded(f"the token can't be stored: {error.strerror}") from error
        found = _info(token)
        return NewToken(
            token=credential,
            kid=found.kid,
            scope=found.scope,
            slots=found.slots,
            label=found.label,
            created=found.created,
            expires=found.expires,
        )

    async def revoke_token(self, call: Call[NoQuery, None]) -> TokenInfo:
        try:
            return _info(await asyncio.to_thread(self._store().revoke, call.params["kid"]))
        except TokensUnreadable as error:
            raise _unreadable(error) from error
        except OSError as error:
            raise Overloaded(f"the token can't be revoked: {error.strerror}") from error

    def _store(self) -> TokenStore:
        if self._tokens is None:
            raise NotSupported("this node does not use tokens", hint='add "token" to [auth] providers in meshd.toml')
        return self._tokens


METRICS = "/metrics"


class PluginEndpoint:
    """One route of a plugin: what it raises is attributed to it and hits nobody else."""

    def __init__(self, plugin: str, route: Route) -> None:
        self._plugin = plugin
        self._route = route

    async def __call__(self, call: Call[Any, Any]) -> Reply:
        exchange = call.exchange
        request = RouteRequest(
            method=exchange.method,
            path=exchange.scope["path"].removeprefix(f"/x/{self._plugin}"),
            query=call.query,
            body=call.body or b"",
            subject=call.principal.subject,
            sees_all=reaches_all(call.principal),
        )
        try:
            async with asyncio.timeout(PLUGIN_ROUTE_TIMEOUT_S):
                reply: RouteReply = await self._route.endpoint(request)
            return self._checked(reply)
        except Exception as error:  # a plugin is called
            log.exception("a plugin's route failed", extra={"plugin": self._plugin, "path": self._route.path})
            raise Internal(f"plugin {self._plugin!r} failed to answer", plugin=self._plugin) from error

    def _checked(self, reply: RouteReply) -> Reply:
        if not 200 <= reply.status <= 599 or _CONTENT_TYPE.fullmatch(reply.content_type) is None:
            raise ValueError(f"a reply with status {reply.status!r} and type {reply.content_type!r} can't be sent")
        return Reply(bytes(reply.body), reply.status, reply.content_type)


def plugin_routes(service: NodeService) -> list[RouteSpec]:
    """The routes of plugins, under `/x/<plugin>`; one that can't be served is logged and left out.

    The first exporter's is also where scrapers look: at `/metrics` itself.
    """
    found: list[RouteSpec] = []
    exporter: RouteSpec | None = None
    for plugin, route in service.routes():
        if not route.path.startswith("/") or not route.methods:
            log.error("a plugin's route is unusable", extra={"plugin": plugin, "path": route.path})
            continue
        endpoint = PluginEndpoint(plugin, route)
        found += [
            RouteSpec(
                method=method.upper(),
                path=f"/x/{plugin}{route.path}",
                scope=route.scope,
                handler=endpoint,
                summary=f"a route of plugin {plugin}",
                answer=Document,
                plugin=plugin,
            )
            for method in route.methods
        ]
        if exporter is None and route.path == METRICS and "GET" in route.methods and route.scope == "read":
            exporter = RouteSpec(
                method="GET", path=METRICS, scope="read", handler=endpoint, summary="metrics for scrapers",
                answer=Document, plugin=plugin, content_type="text/plain",
            )  # fmt: skip
    return found if exporter is None else [*found, exporter]


def _info(token: StoredToken) -> TokenInfo:
    return TokenInfo(token.kid, token.scope, token.slots, token.label, token.created, token.expires)


def _unreadable(error: TokensUnreadable) -> Overloaded:
    log.error("tokens can't be read", extra={"reason": str(error)})
    return Overloaded("the stored tokens can't be read", hint="the daemon's log tells why")
