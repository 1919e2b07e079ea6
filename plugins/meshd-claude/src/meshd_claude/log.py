"""Claude Code's session log: which records are the answer to a prompt, and what a pending tool call wants.

`$CLAUDE_CONFIG_DIR/projects/*/<session-id>.jsonl`, one record a line, linked by `parentUuid`; a rewound prompt stays
without children. An assistant message has a line for each of its blocks. On a busy machine the lines are not in order:
2.1.311 wrote the answer to a first prompt before the prompt. Measured with 2.1.330; unknown records are passed over.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from meshd_core.api import (
    CLOCK_SLACK_MS,
    FIRST_READ_BYTES,
    Answer,
    arguments_text,
    epoch_ms,
    own_prompt,
    read_records,
    search_records,
)

_PASTED = re.compile(r"</?pasted_content[^>\n]*>")
_UNFINISHED = (None, "tool_use", "pause_turn")


class Block(Struct):
    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] = field(default_factory=dict)
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None


class Message(Struct):
    content: str | list[Block] = ""
    stop_reason: str | None = None

    def texts(self) -> list[str]:
        if isinstance(self.content, str):
            return [self.content] if self.content else []
        return [block.text for block in self.content if block.type == "text" and block.text]

    def blocks(self) -> list[Block]:
        return self.content if isinstance(self.content, list) else []


class Record(
    Struct,
    rename={
        "parent": "parentUuid", "sidechain": "isSidechain", "prompt_source": "promptSource",
        "api_error": "isApiErrorMessage",
    },
):  # fmt: skip
    type: str = ""
    uuid: str | None = None
    parent: str | None = None
    sidechain: bool | None = None
    prompt_source: str | None = None
    timestamp: str | None = None
    subtype: str | None = None
    message: Message | None = None
    api_error: bool | None = None
    """Whether it is no answer, but that none could be had."""

    @property
    def is_prompt(self) -> bool:
        return self.type == "user" and self.prompt_source is not None and not self.sidechain

    @property
    def time_ms(self) -> float:
        return epoch_ms(self.timestamp)


class ToolCall(Struct, frozen=True):
    """A tool call that has no result yet: the exact command of a shell tool, else the tool's name and its input."""

    name: str
    command: str
    id: str | None = None


R = TypeVar("R", bound=Record)
_decoder = msgspec.json.Decoder(Record)


def find_log(config_dir: Path, session_id: str) -> Path | None:
    """The log of a session. The folder's name is never derived from the working folder: its encoding changed."""
    return next(config_dir.glob(f"projects/*/{session_id}.jsonl"), None)


def find_answer(path: Path, prompt: str, entered_at_ms: int, *, exact: bool = False) -> Answer | None:
    """What the log holds for `prompt`, or None if it isn't there yet. Raises OSError.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """

    def find(records: list[Record]) -> Answer | None:
        asked = _find_prompt(records, prompt, entered_at_ms, exact)
        return None if asked is None else _collect(in_order(records), asked)

    return search_records(path, _decoder, find, lambda records: _reaches_before(records, entered_at_ms))


def pending_call(path: Path) -> ToolCall | None:
    """The tool call that an approval is open for, or None if it can't be told. Raises OSError.

    Of several calls without a result any may be running, being allowed by the settings, and any be asked for.
    """
    records, _ = read_records(path, _decoder, FIRST_READ_BYTES)
    answered: set[str] = set()
    pending: list[Block] = []
    for record in reversed(in_order(records)):
        blocks = record.message.blocks() if record.message is not None and not record.sidechain else []
        answered.update(block.tool_use_id for block in blocks if block.tool_use_id)
        pending += [block for block in blocks if block.type == "tool_use" and block.id not in answered]
        if record.is_prompt:
            break
    return _tool_call(pending[0]) if len(pending) == 1 else None


def in_order(records: Sequence[R]) -> list[R]:
    """The records, each behind the one that it follows, otherwise in the order of the log."""
    known = {record.uuid for record in records if record.uuid is not None}
    early: dict[str | None, list[R]] = {}
    ordered: list[R] = []
    for record in records:
        if record.parent in known:
            early.setdefault(record.parent, []).append(record)
            continue
        next_ones = [record]
        while next_ones:
            one = next_ones.pop()
            ordered.append(one)
            if one.uuid is not None:
                known.discard(one.uuid)
                next_ones += reversed(early.pop(one.uuid, []))
    return ordered


def _tool_call(block: Block) -> ToolCall:
    command = block.input.get("command")
    text = command if isinstance(command, str) else arguments_text(block.input)
    return ToolCall(block.name or "tool", text, block.id)


def _reaches_before(records: list[Record], entered_at_ms: int) -> bool:
    return any(0 < record.time_ms < entered_at_ms - CLOCK_SLACK_MS for record in records[:50])


def _find_prompt(records: list[Record], prompt: str, entered_at_ms: int, exact: bool) -> Record | None:
    since = [r for r in records if r.is_prompt and r.message and r.time_ms >= entered_at_ms - CLOCK_SLACK_MS]
    return own_prompt(since, prompt_text, prompt, exact=exact)


def prompt_text(record: Record) -> str:
    """A prompt without what Claude Code puts around a paste."""
    return _PASTED.sub("", "\n".join(record.message.texts())) if record.message is not None else ""


def _collect(records: Iterable[Record], asked: Record) -> Answer:
    """The texts of all assistant records that descend from the prompt, up to the next prompt.

    Prompts that were queued while it worked are answered together: then the answer is under the last of them.
    """
    texts: list[str] = []
    family = {asked.uuid}
    ended = False
    error: str | None = None
    for record in records:
        if record.uuid is None or record.parent not in family:
            continue
        if record.is_prompt and texts:
            ended = True
            break
        family.add(record.uuid)
        if record.type == "assistant" and record.message is not None and not record.sidechain:
            texts += record.message.texts()
            error = "\n".join(record.message.texts()) if record.api_error else None
            ended = record.message.stop_reason not in _UNFINISHED
        elif record.subtype == "turn_duration" or (record.type == "user" and _interrupted(record)):
            ended = True
    return Answer("\n\n".join(texts).strip("\n"), ended, error)


def _interrupted(record: Record) -> bool:
    texts = record.message.texts() if record.message is not None else []
    return any(text.startswith("[Request interrupted by user") for text in texts)
