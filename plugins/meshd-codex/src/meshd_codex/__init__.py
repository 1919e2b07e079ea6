"""The agent kind `codex`: OpenAI's Codex CLI."""

from collections.abc import Iterable

from meshd_codex.kind import CodexKind
from meshd_core.api import AgentKind, PluginContext, hookimpl

__all__ = ["CodexKind", "meshd_agent_kinds"]


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `codex`."""
    return (CodexKind(),)
