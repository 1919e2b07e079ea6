"""The agent kind `claude`: Claude Code."""

from collections.abc import Iterable

from meshd_claude.kind import ClaudeKind
from meshd_core.api import AgentKind, PluginContext, hookimpl

__all__ = ["ClaudeKind", "meshd_agent_kinds"]


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `claude`."""
    return (ClaudeKind(),)
