"""The shape of the one table of routes: the app, the scopes, 405, the OpenAPI document and the tests all read it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

from meshd_core.contracts.auth import Principal
from meshd_core.errors import MeshdError
from meshd_core.http.exchange import Exchange
from meshd_core.types import Scope

Q = TypeVar("Q")
B = TypeVar("B")

MAX_BODY_BYTES = 1024 * 1024


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of routes without parameters: any parameter is an error."""


class Call(Struct, Generic[Q, B], frozen=True):
    """One request that passed every check: decoded, authenticated, allowed by scope."""

    exchange: Exchange
    params: dict[str, str]
    """What the path's braces stand for."""
    query: Q
    body: B

    @property
    def principal(self) -> Principal:
        """Who calls; only on routes with a scope."""
        principal = self.exchange.principal
        if principal is None:
            raise RuntimeError("a route without a scope has no principal")
        return principal


class Reply(Struct, frozen=True):
    """An answer that isn't just the answer type with the usual status."""

    content: Struct | bytes
    status: int = 200
    content_type: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Call[Any, Any]], Awaitable[Struct | None]]


class RouteSpec(Struct, frozen=True):
    """One method of one path. `scope` None: no credential needed. A handler that returns None has answered itself."""

    method: str
    path: str
    scope: Scope | None
    handler: Handler
    summary: str
    answer: type[Struct]
    query: type[Struct] = NoQuery
    body: type[Struct] | None = None
    status: int = 200
    other_status: tuple[int, ...] = ()
    errors: tuple[type[MeshdError], ...] = ()
    content_type: str = "application/json"
    other_content_type: str | None = None
    """One that the query may ask for instead."""

    events: Mapping[str, type[Struct]] | None = None
    """The events of a stream; None: those of a slot."""

    own_wait_s: float = 0.0
    """How long the handler may wait for the agent beside what the call asks for: as much more a proxy has to wait."""

    headers: tuple[tuple[str, str], ...] = ()
    """Request headers that the route reads: name and what it does."""

    plugin: str | None = None
    """Set on a plugin's route: it gets query and JSON body as they came."""

    @property
    def writes(self) -> bool:
        """Whether a call goes into the audit log."""
        return self.method != "GET"
