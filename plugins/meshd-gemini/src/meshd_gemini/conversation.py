"""The conversation in Gemini CLI's session log.

A message that changed comes again under its id. After a refusal or an interrupt the whole history is written once more
under new ids, without the turn that was cancelled, and `$set` then lists these copies: they are left out again, because
what was said stands before them. A tool call is recorded once it has ended. Measured with 0.61.0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from meshd_core.api import Conversation, ConversationBuilder, Message, ToolOutcome, read_conversation
from meshd_gemini.chat import Record

SHELL = "run_shell_command"
_OUTCOMES: dict[str, ToolOutcome] = {"success": "done", "error": "failed", "cancelled": "denied"}


class FullRecord(Record, rename={"sets": "$set"}):
    sets: Any = None
    """Changes of the session as a whole."""

    def copies(self) -> list[str]:
        """The ids of the list of messages, if this record replaces it."""
        messages = self.sets.get("messages") if isinstance(self.sets, dict) else None
        found = [one.get("id") for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
        return [id for id in found if isinstance(id, str)]


_decoder = msgspec.json.Decoder(FullRecord)


def conversation(path: Path | None) -> Conversation:
    """The conversation in the log at `path`. Raises OSError."""
    return read_conversation(path, _decoder, _messages)


def _messages(records: Sequence[FullRecord]) -> tuple[Message, ...]:
    build = ConversationBuilder()
    for record in _said_once(records):
        if record.is_prompt:
            build.user(record.id, record.text, record.time_ms)
        elif record.type in ("gemini", "error"):
            build.agent(record.id, record.text, record.time_ms)
            for call in record.tool_calls if isinstance(record.tool_calls, list) else ():
                if isinstance(call, dict):
                    _call(build, call, record)
    return build.messages()


def _said_once(records: Sequence[FullRecord]) -> list[FullRecord]:
    """The messages without the copies of them."""
    said: list[FullRecord] = []
    for record in records:
        if not (copies := record.copies()):
            said += [record] if record.id else []
            continue
        # Copies are written at one go, the first of them first: what `$set` lists otherwise was said there.
        first = next((index for index, one in enumerate(said) if one.id == copies[0]), None)
        if first is not None and {one.id for one in said[first:]} <= set(copies):
            del said[first:]
    return said


def _call(build: ConversationBuilder, call: dict[str, Any], record: Record) -> None:
    name, arguments = call.get("name"), call.get("args")
    id = call.get("id") if isinstance(call.get("id"), str) else f"{record.id}-{name}"
    command = arguments.get("command") if name == SHELL and isinstance(arguments, dict) else None
    shell = command if isinstance(command, str) else None
    build.call(str(id), str(name or ""), arguments, record.time_ms, shell)
    status = call.get("status")
    if outcome := _OUTCOMES.get(status if isinstance(status, str) else ""):
        build.result(str(id), outcome, _result(call.get("result")))


def _result(parts: Any) -> str:
    """What a tool gave back: its output, or its error."""
    texts: list[str] = []
    for part in parts if isinstance(parts, list) else ():
        answer = part.get("functionResponse") if isinstance(part, dict) else None
        response = answer.get("response") if isinstance(answer, dict) else None
        for key in ("output", "error"):
            value = response.get(key) if isinstance(response, dict) else None
            texts += [value] if isinstance(value, str) else []
    return "\n".join(texts)
