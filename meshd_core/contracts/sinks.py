"""Fleet sinks, engines, and what a daemon tells plugins."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from meshd_core.types import Scope


class FleetEvent(Struct, frozen=True):
    """One typed, versioned fact about this node or one of its slots."""

    type: str
    node: str
    at: str
    slot: str | None
    data: Mapping[str, Any]
    version: int = 1


class FleetSink:
    """Base class of fleet sinks; `name` is what a `[sinks.<instance>]` section's `plugin` refers to."""

    name: str

    async def send(self, batch: list[FleetEvent]) -> None:
        """Deliver `batch`. An exception means: not delivered, try again later."""
        raise NotImplementedError


class Engine:
    """Base class of work-queue engines: something outside that hands prompts to idle slots."""

    name: str


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


class Route(Struct, frozen=True):
    """One route of a plugin, served under `/x/<plugin><path>` behind the same checks as core's own."""

    path: str
    methods: tuple[str, ...]
    scope: Scope
    endpoint: Callable[[RouteRequest], Awaitable[RouteReply]]


class DaemonInfo(Struct, frozen=True):
    """Told to `meshd_daemon_ready` once adoption is done and the listeners are open."""

    node: str
    boot_id: str
    version: str
    urls: tuple[str, ...]
