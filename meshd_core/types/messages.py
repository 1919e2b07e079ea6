"""A conversation as turns: what the user said, what the agent said, and the tools that it used."""

from typing import Literal

from msgspec import Struct

MessageRole = Literal["user", "agent", "tool"]
MessageSource = Literal["log", "api", "inject", "screen"]
"""The agent's own session log, its own API, prompts that were injected with their replies, lines of the terminal."""
ToolOutcome = Literal["pending", "done", "failed", "denied", "interrupted"]
"""`pending`: no result yet, because it runs or is being asked for."""


class ToolUse(Struct, frozen=True):
    """One call of a tool."""

    name: str
    command: str
    """Exactly what is run: the command of a shell tool, else the tool's arguments, one `key: value` a line."""
    outcome: ToolOutcome


class Message(Struct, frozen=True):
    """One turn; `text` of a tool is its result."""

    id: str
    """Stays the same for as long as the conversation goes on."""
    role: MessageRole
    source: MessageSource
    text: str
    at: str | None
    """When it was recorded; null where that isn't known."""
    tool: ToolUse | None = None
    receipt: str | None = None
    """The receipt of the prompt that it is, if that was injected since the daemon's start."""
    cut: bool = False
    """Whether the end of a text was left out because it is too long."""


class Conversation(Struct, frozen=True):
    """What an agent's own records hold, oldest first.

    `warning` says, for people, what could not be read; without messages, why there are none.
    """

    messages: tuple[Message, ...] = ()
    source: MessageSource = "log"
    warning: str | None = None


class MessagePage(Struct, frozen=True):
    """Messages, oldest first; `before` asks for the older ones, null if there are none."""

    messages: list[Message]
    source: MessageSource
    before: str | None
    warning: str | None = None
