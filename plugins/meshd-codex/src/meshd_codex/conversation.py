"""The conversation in Codex's session log. What was said stands there twice: the items are read, not the responses.

A tool call is a response; of a command that ran there is an item too, with its exit status. A command that was refused
and one that was interrupted before it ran look the same. Measured with 0.169.0.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from meshd_codex.rollout import CALLS, OUTPUTS, Record, command_of, message_of
from meshd_core.api import Conversation, ConversationBuilder, Message, ToolOutcome, read_conversation

SHELLS = ("exec_command", "shell", "local_shell", "shell_command")
_STOPPED = re.compile(r"(?:Wall time: [^\n]*\n)?(?:aborted|(?:exec command )?rejected) by user\s*")
_EXIT_CODE = re.compile(r"^Process exited with code (\d+)$", re.MULTILINE)
_decoder = msgspec.json.Decoder(Record)


def conversation(path: Path | None) -> Conversation:
    """The conversation in the log at `path`. Raises OSError."""
    return read_conversation(path, _decoder, _messages)


def _messages(records: Sequence[Record]) -> tuple[Message, ...]:
    build = ConversationBuilder()
    executed: dict[str, ToolOutcome] = {}
    for number, record in enumerate(records):
        payload = record.payload
        if record.type == "response_item" and payload.call_id:
            if payload.type in CALLS:
                _call(build, record)
            elif payload.type in OUTPUTS:
                text = _text(payload.output)
                build.result(payload.call_id, executed.get(payload.call_id) or _outcome(text), text)
        elif record.event == "item_completed" and isinstance(payload.item, dict):
            identity = payload.item.get("id")
            id = identity if isinstance(identity, str) else f"{payload.turn_id}-{number}"
            if (said := record.said("UserMessage")) is not None:
                build.user(id, said, record.time_ms)
            elif (said := record.said("AgentMessage")) is not None:
                build.agent(id, said, record.time_ms)
            elif payload.item.get("type") == "CommandExecution":
                executed[id] = _executed(payload.item)
                build.result(id, executed[id])
        elif record.event == "task_complete" and (failure := message_of(payload.error)):
            build.agent(f"{payload.turn_id}-error", failure, record.time_ms)
    return build.messages()


def _call(build: ConversationBuilder, record: Record) -> None:
    payload = record.payload
    given = payload.arguments if payload.arguments is not None else payload.input
    name, id = payload.name or "tool", payload.call_id or ""
    if name in SHELLS:
        build.call(id, name, None, record.time_ms, shell=command_of(payload))
        return
    try:
        arguments = msgspec.json.decode(given) if isinstance(given, str) else given
    except msgspec.MsgspecError:
        arguments = given
    build.call(id, name, arguments, record.time_ms)


def _executed(item: dict[str, Any]) -> ToolOutcome:
    if item.get("status") == "declined":
        return "denied"
    return "failed" if item.get("status") == "failed" or item.get("exit_code") not in (None, 0) else "done"


def _outcome(text: str) -> ToolOutcome:
    """By the words of a result, where no item tells."""
    if _STOPPED.fullmatch(text):
        return "denied"
    code = _EXIT_CODE.search(text.partition("\nOutput:")[0])
    return "failed" if code is not None and code[1] != "0" else "done"


def _text(output: Any) -> str:
    """What a tool gave back: a text, or texts among other things."""
    if isinstance(output, dict):
        output = output.get("content")
    if isinstance(output, str):
        return output
    parts = output if isinstance(output, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
