"""The typed Python client, sync and async: every route of the protocol as a method, and streams that resume by
themselves.
"""

from typing import TYPE_CHECKING, Any

from meshd_core.client.answers import BadAnswer, Unreachable
from meshd_core.client.api import MeshdClient
from meshd_core.client.events import Event, EventType, MeshEvent

if TYPE_CHECKING:
    from meshd_core.client.aio import AsyncMeshdClient

__all__ = ["AsyncMeshdClient", "BadAnswer", "Event", "EventType", "MeshEvent", "MeshdClient", "Unreachable"]


def __getattr__(name: str) -> Any:
    """`AsyncMeshdClient`, imported when it is asked for: its HTTP library would double the start of the CLI."""
    if name == "AsyncMeshdClient":
        from meshd_core.client.aio import AsyncMeshdClient

        return AsyncMeshdClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
