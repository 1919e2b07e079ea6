"""OpenCode's messages as a conversation. Measured with 1.18.33."""

from collections.abc import Sequence

from meshd_core.api import ConversationBuilder, Message, ToolOutcome
from meshd_opencode.api_types import Part, StoredMessage, ToolState
from meshd_opencode.turns import ABORTED

SHELL = "bash"
_ABORTED = "Tool execution aborted"
_PENDING = ("", "pending", "running")


def conversation(messages: Sequence[StoredMessage]) -> tuple[Message, ...]:
    """What was said, out of messages (oldest first) with all their parts."""
    build = ConversationBuilder("api")
    for message in messages:
        info, at_ms = message.info, message.info.time.created
        if info.role == "user":
            build.user(info.id, message.text(), at_ms)
            continue
        for number, part in enumerate(message.parts):
            id = part.id or f"{info.id}-{number}"
            if part.type == "text" and part.text and not part.synthetic:
                build.agent(id, part.text, at_ms)
            elif part.type == "tool" and part.state is not None:
                _tool(build, id, part, part.state, at_ms)
        if info.error is not None and info.error.name != ABORTED:
            build.agent(f"{info.id}-error", str(info.error.data.get("message") or info.error.name), at_ms)
    return build.messages()


def _tool(build: ConversationBuilder, id: str, part: Part, state: ToolState, at_ms: float) -> None:
    command = state.input.get("command") if part.tool == SHELL and isinstance(state.input, dict) else None
    build.call(id, part.tool or "", state.input, at_ms, command if isinstance(command, str) else None)
    if state.status not in _PENDING:
        build.result(id, _outcome(state), state.error if state.output is None else state.output)


def _outcome(state: ToolState) -> ToolOutcome:
    if state.status != "error":
        return "done"
    error = state.error or ""
    return "denied" if state.was_denied else "interrupted" if error.startswith(_ABORTED) else "failed"
