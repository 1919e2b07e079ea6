"""Claude Code's session log: which records are the answer to a prompt, and what a pending tool call wants.

`$CLAUDE_CONFIG_DIR/projects/*/<session-id>.jsonl`, one record a line, linked by `parentUuid`; a rewound prompt stays
without children. An assistant message has a line for each of its blocks. Measured with 2.1.330; unknown records are
passed over.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

FIRST_READ_BYTES = 1 << 20
MOST_READ_BYTES = 64 << 20
CLOCK_SLACK_MS = 20
"""A prompt's record is stamped after Enter, by the same machine's clock; more would find the turn before."""
_PASTED = re.compile(r"</?pasted_content[^>\n]*>")
_UNFINISHED = (None, "tool_use", "pause_turn")


class Block(Struct):
    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] = field(default_factory=dict)
    tool_use_id: str | None = None


class Message(Struct):
    content: str | list[Block] = ""
    stop_reason: str | None = None

    def texts(self) -> list[str]:
        if isinstance(self.content, str):
            return [self.content] if self.content else []
        return [block.text for block in self.content if block.type == "text" and block.text]

    def blocks(self) -> list[Block]:
        return self.content if isinstance(self.content, list) else []


class Record(Struct, rename={"parent": "parentUuid", "sidechain": "isSidechain", "prompt_source": "promptSource"}):
    type: str = ""
    uuid: str | None = None
    parent: str | None = None
    sidechain: bool | None = None
    prompt_source: str | None = None
    timestamp: str | None = None
    subtype: str | None = None
    message: Message | None = None

    @property
    def is_prompt(self) -> bool:
        return self.type == "user" and self.prompt_source is not None and not self.sidechain

    @property
    def time_ms(self) -> float:
        try:
            return datetime.fromisoformat(self.timestamp or "").timestamp() * 1000
        except ValueError:
            return 0.0


class Answer(Struct, frozen=True):
    """The assistant's text for one prompt so far; `ended` once nothing more will come."""

    text: str
    ended: bool


class ToolCall(Struct, frozen=True):
    """A tool call that has no result yet: the exact command of a shell tool, else the tool's name and its input."""

    name: str
    command: str


_decoder = msgspec.json.Decoder(Record)


def find_log(config_dir: Path, session_id: str) -> Path | None:
    """The log of a session. The folder's name is never derived from the working folder: its encoding changed."""
    return next(config_dir.glob(f"projects/*/{session_id}.jsonl"), None)


def read_records(path: Path, size_bytes: int) -> tuple[list[Record], bool]:
    """The records in the last `size_bytes` of the log, and whether that is all of it. Raises OSError."""
    with path.open("rb") as file:
        total = file.seek(0, 2)
        start = max(0, total - size_bytes)
        file.seek(start)
        data = file.read(size_bytes)
    lines = data.split(b"\n")[1 if start else 0 :]
    return [record for line in lines if (record := _decode(line)) is not None], start == 0


def _decode(line: bytes) -> Record | None:
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError:
        return None  # half a line, or a record whose shape we don't know


def find_answer(path: Path, prompt: str, entered_at_ms: int, *, exact: bool = False) -> Answer | None:
    """What the log holds for `prompt`, or None if it isn't there yet. Raises OSError.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """
    size_bytes = FIRST_READ_BYTES
    while True:
        records, complete = read_records(path, size_bytes)
        asked = _find_prompt(records, prompt, entered_at_ms)
        if asked is not None:
            return _collect(records, asked) if _asks(asked, prompt) or not exact else None
        if complete or size_bytes >= MOST_READ_BYTES or _reaches_before(records, entered_at_ms):
            return None
        size_bytes *= 4


def pending_call(path: Path) -> ToolCall | None:
    """The newest tool call without a result, for which an approval is open. Raises OSError."""
    records, _ = read_records(path, FIRST_READ_BYTES)
    answered: set[str] = set()
    for record in reversed(records):
        blocks = record.message.blocks() if record.message is not None and not record.sidechain else []
        answered.update(block.tool_use_id for block in blocks if block.tool_use_id)
        for block in reversed(blocks):
            if block.type == "tool_use" and block.id not in answered:
                command = block.input.get("command")
                text = command if isinstance(command, str) else msgspec.json.encode(block.input).decode()
                return ToolCall(block.name or "tool", text)
        if record.is_prompt:
            return None
    return None


def _reaches_before(records: list[Record], entered_at_ms: int) -> bool:
    return any(0 < record.time_ms < entered_at_ms - CLOCK_SLACK_MS for record in records[:50])


def _find_prompt(records: list[Record], prompt: str, entered_at_ms: int) -> Record | None:
    """The prompt's own record: the newest with its text since Enter, else the first one since Enter."""
    since = [r for r in records if r.is_prompt and r.message and r.time_ms >= entered_at_ms - CLOCK_SLACK_MS]
    same = [record for record in since if _asks(record, prompt)]
    return same[-1] if same else next(iter(since), None)


def _asks(record: Record, prompt: str) -> bool:
    return record.message is not None and _normal("\n".join(record.message.texts())) == _normal(prompt)


def _normal(text: str) -> str:
    """`text` without what Claude Code adds or changes: paste wrappers, the spaces around, tabs."""
    return "".join(_PASTED.sub("", text).split())


def _collect(records: Iterable[Record], asked: Record) -> Answer:
    """The texts of all assistant records that descend from the prompt, up to the next prompt.

    Prompts that were queued while it worked are answered together: then the answer is under the last of them.
    """
    texts: list[str] = []
    family = {asked.uuid}
    ended = False
    for record in records:
        if record.uuid is None or record.parent not in family:
            continue
        if record.is_prompt and texts:
            ended = True
            break
        family.add(record.uuid)
        if record.type == "assistant" and record.message is not None and not record.sidechain:
            texts += record.message.texts()
            ended = record.message.stop_reason not in _UNFINISHED
        elif record.subtype == "turn_duration" or (record.type == "user" and _interrupted(record)):
            ended = True
    return Answer("\n\n".join(texts).strip("\n"), ended)


def _interrupted(record: Record) -> bool:
    texts = record.message.texts() if record.message is not None else []
    return any(text.startswith("[Request interrupted by user") for text in texts)
