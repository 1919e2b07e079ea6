"""The agent kind `opencode`: OpenCode."""

from collections.abc import Iterable

from meshd_core.api import AgentKind, PluginContext, hookimpl
from meshd_opencode.kind import OpenCodeKind

__all__ = ["OpenCodeKind", "meshd_agent_kinds"]


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `opencode`."""
    return (OpenCodeKind(),)
