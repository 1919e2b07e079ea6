"""The agent kind `gemini`: Google's Gemini CLI."""

from collections.abc import Iterable

from meshd_core.api import AgentKind, PluginContext, hookimpl
from meshd_gemini.kind import GeminiKind

__all__ = ["GeminiKind", "meshd_agent_kinds"]


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `gemini`."""
    return (GeminiKind(),)
