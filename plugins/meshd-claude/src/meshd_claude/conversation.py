"""The conversation in Claude Code's session log: prompts, what was said, tools with what became of them.

Only what leads to the newest record counts: a prompt that was taken back, with all that followed it, stays in the log
beside it. Tool results are found by their call, wherever they stand. Measured with 2.1.330.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from meshd_claude.log import Block, Record, in_order, prompt_text
from meshd_core.api import Conversation, ConversationBuilder, Message, ToolOutcome, read_conversation

_REJECTED = "User rejected tool use"


class FullRecord(
    Record,
    rename={
        "logical_parent": "logicalParentUuid", "tool_result": "toolUseResult", "denial": "toolDenialKind",
        "denied_before_run": "toolDenialBeforeRun",
    },
):  # fmt: skip
    logical_parent: str | None = None
    """What a compacted conversation goes on from."""
    tool_result: Any = None
    denial: str | None = None
    denied_before_run: bool | None = None

    @property
    def before(self) -> str | None:
        return self.parent or self.logical_parent


_decoder = msgspec.json.Decoder(FullRecord)


def conversation(path: Path | None) -> Conversation:
    """The conversation in the log at `path`. Raises OSError."""
    return read_conversation(path, _decoder, _messages)


def _messages(records: Sequence[FullRecord]) -> tuple[Message, ...]:
    records = in_order(records)
    build = ConversationBuilder()
    for record in _kept(records):
        if record.message is None or record.uuid is None:
            continue
        if record.is_prompt:
            build.user(record.uuid, prompt_text(record), record.time_ms)
        elif record.type == "assistant":
            build.agent(record.uuid, "\n\n".join(record.message.texts()), record.time_ms)
            for block in record.message.blocks():
                if block.type == "tool_use" and block.id:
                    command = block.input.get("command")
                    shell = command if isinstance(command, str) else None
                    build.call(block.id, block.name or "", block.input, record.time_ms, shell)
    for record in records:
        # The log also holds what was sent to the model, with the same results; that has no id.
        for block in record.message.blocks() if record.message is not None and record.uuid is not None else ():
            if block.tool_use_id:
                build.result(block.tool_use_id, _outcome(record, block), _text(block.content))
    return build.messages()


def _kept(records: Sequence[FullRecord]) -> list[FullRecord]:
    """Without subagents, and without the prompts that were taken back and what followed them."""
    own = [record for record in records if record.uuid is not None and not record.sidechain]
    by_id = {record.uuid: record for record in own}
    path: set[str | None] = set()
    at = own[-1].uuid if own else None
    while at is not None and at not in path:
        path.add(at)
        at = by_id[at].before if at in by_id else None
    prompt_of: dict[str | None, str | None] = {}
    for record in own:
        prompt_of[record.uuid] = record.uuid if record.is_prompt else prompt_of.get(record.before)
    return [record for record in own if prompt_of[record.uuid] is None or prompt_of[record.uuid] in path]


def _outcome(record: FullRecord, block: Block) -> ToolOutcome:
    result = record.tool_result
    if record.denial == "user-rejected" or result == _REJECTED:
        return "interrupted" if record.denied_before_run is False else "denied"
    if isinstance(result, dict) and result.get("interrupted") is True:
        return "interrupted"
    return "failed" if block.is_error else "done"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
