"""HTTP routes of plugins."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from meshd_core.types import Scope


class RouteReply(Struct, frozen=True):
    """A plugin route's answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class RouteRequest(Struct, frozen=True):
    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    subject: str
    sees_all: bool = True
    """Whether the caller reaches all slots of this node: what tells of all of them is for such callers only."""


class Route(Struct, frozen=True):
    """One route of a plugin, served under `/x/<plugin><path>` behind the same checks as core's own.

    A plugin whose route has the path `/metrics`, method GET and scope `read` is also served at `/metrics` itself: the
    one place where scrapers look. The first such plugin has it.
    """

    path: str
    methods: tuple[str, ...]
    scope: Scope
    endpoint: Callable[[RouteRequest], Awaitable[RouteReply]]
