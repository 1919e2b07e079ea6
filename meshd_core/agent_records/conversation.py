"""A conversation out of an agent's own records: messages in order, each tool call with what became of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from meshd_core.agent_records.jsonl import decode_lines, newest_lines
from meshd_core.clock import rfc3339
from meshd_core.types import Conversation, Message, MessageSource, ToolOutcome, ToolUse

MAX_LOG_BYTES = 16 << 20
"""How much of a log, from its end, is read for a conversation."""
NO_LOG = "the agent has no session log yet"
T = TypeVar("T")


class ConversationBuilder:
    """Takes what was said, oldest first. A message that comes again under its id replaces the first in its place."""

    def __init__(self, source: MessageSource = "log") -> None:
        self._source: MessageSource = source
        self._messages: dict[str, Message] = {}

    def user(self, id: str, text: str, at_ms: float) -> None:
        if text:
            self._messages[id] = Message(id, "user", self._source, text, _time(at_ms))

    def agent(self, id: str, text: str, at_ms: float) -> None:
        if text:
            self._messages[id] = Message(id, "agent", self._source, text, _time(at_ms))

    def call(self, id: str, name: str, arguments: Any, at_ms: float, shell: str | None = None) -> None:
        """A tool is called; `shell` is the command if it is one that runs commands."""
        command = arguments_text(arguments) if shell is None else shell
        tool = ToolUse(name or "tool", command, "pending")
        self._messages[id] = Message(id, "tool", self._source, "", _time(at_ms), tool)

    def result(self, id: str, outcome: ToolOutcome, text: str | None = None) -> None:
        """What became of the call `id`; one that is not known (it lies before what was read) is passed over."""
        message = self._messages.get(id)
        if message is None or message.tool is None:
            return
        tool = replace(message.tool, outcome=outcome)
        self._messages[id] = replace(message, tool=tool, text=message.text if text is None else text)

    def messages(self) -> tuple[Message, ...]:
        return tuple(self._messages.values())


def read_conversation(
    path: Path | None, decoder: msgspec.json.Decoder[T], build: Callable[[list[T]], tuple[Message, ...]]
) -> Conversation:
    """The conversation that `build` makes of the newest `MAX_LOG_BYTES` of a log; None: there is no log.

    A record that can't be decoded is left out, and the warning says so. Raises OSError for a log that can't be read.
    """
    if path is None:
        return Conversation(warning=NO_LOG)
    lines, complete = newest_lines(path, MAX_LOG_BYTES)
    unfinished = lines.pop()
    records = decode_lines(lines, decoder)
    unreadable = sum(1 for line in lines if line.strip()) - len(records)
    warnings = []
    if unreadable:
        warnings.append(f"{unreadable} records of the agent's session log could not be read")
    if not complete:
        warnings.append(f"only the newest {MAX_LOG_BYTES >> 20} MiB of the agent's session log were read")
    messages = build([*records, *decode_lines([unfinished], decoder)])
    return Conversation(messages, warning="; ".join(warnings) or None)


def arguments_text(arguments: Any) -> str:
    """A tool's arguments as a person reads them: `key: value`, texts as they are, what is nested under dotted keys.

    Not as JSON: its escapes would hide from filters what they look for.
    """
    if not isinstance(arguments, Mapping | list):
        return _plain(arguments)
    lines: list[str] = []
    stack: list[tuple[str, Any]] = [("", arguments)]
    while stack:
        key, value = stack.pop()
        if isinstance(value, Mapping | list) and value:
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            stack += reversed([(f"{key}.{name}" if key else str(name), one) for name, one in pairs])
        else:
            lines.append(f"{key}: {_plain(value)}" if key else _plain(value))
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _time(at_ms: float) -> str | None:
    try:
        return rfc3339(int(at_ms)) if at_ms > 0 else None
    except (ValueError, OverflowError, OSError):  # no date at all
        return None
