"""Codex's session log ("rollout"): which records are the answer to a prompt, and which commands have no result yet.

`$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<time>-<thread-id>.jsonl`, one record a line, made with the first prompt. A
turn begins with `task_started` and ends with `task_complete` (after an error too) or `turn_aborted`; it may hold
several prompts: one that is entered while text streams steers the turn. Measured with 0.169.0; unknown records are
passed over.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from meshd_core.api import CLOCK_SLACK_MS, Answer, arguments_text, epoch_ms, own_prompt, search_records

MAX_HEAD_BYTES = 4 << 20
ENDS = ("task_complete", "turn_aborted")
OUTPUTS = ("function_call_output", "custom_tool_call_output")
CALLS = ("function_call", "custom_tool_call")


class Payload(Struct):
    """The parts that are used of the payloads of all record types; `type` says which they can be."""

    type: str = ""
    turn_id: str | None = None
    last_agent_message: str | None = None
    error: Any = None
    item: Any = None
    name: str | None = None
    arguments: Any = None
    input: Any = None
    call_id: str | None = None
    output: Any = None


class Record(Struct):
    type: str = ""
    timestamp: str | None = None
    payload: Payload = msgspec.field(default_factory=Payload)

    @property
    def time_ms(self) -> float:
        return epoch_ms(self.timestamp)

    @property
    def event(self) -> str:
        """The kind of an `event_msg`, else an empty text."""
        return self.payload.type if self.type == "event_msg" else ""

    def said(self, who: str) -> str | None:
        """The text of a message of `who`: `UserMessage` or `AgentMessage`; None for any other record."""
        item = self.payload.item
        if self.event != "item_completed" or not isinstance(item, dict) or item.get("type") != who:
            return None
        parts = item.get("content")
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        return "\n".join(text for text in texts if isinstance(text, str))


class _Meta(Struct):
    id: str = ""
    cli_version: str | None = None
    thread_source: Any = None


class Head(Struct):
    """The first record of a rollout."""

    payload: _Meta = msgspec.field(default_factory=_Meta)

    @property
    def is_users(self) -> bool:
        """Whether a person talks there; a subagent has a rollout of its own."""
        return self.payload.thread_source in (None, "user")


decoder = msgspec.json.Decoder(Record)
_head_decoder = msgspec.json.Decoder(Head)


def find_rollout(home: Path, thread: str) -> Path | None:
    """The rollout of a thread below the folder `home`."""
    return next(home.glob(f"sessions/*/*/*/rollout-*-{thread}.jsonl"), None)


def read_head(path: Path) -> Head | None:
    """The first record, or None if it isn't there yet."""
    try:
        with path.open("rb") as file:
            return _head_decoder.decode(file.readline(MAX_HEAD_BYTES))
    except (OSError, msgspec.MsgspecError):
        return None


def find_answer(path: Path, prompt: str, entered_at_ms: int, *, exact: bool = False) -> Answer | None:
    """What the log holds for `prompt`, or None if it isn't there yet. Raises OSError.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """
    since = entered_at_ms - CLOCK_SLACK_MS

    def find(records: list[Record]) -> Answer | None:
        asked = [r for r in records if r.said("UserMessage") is not None and r.time_ms >= since]
        ours = own_prompt(asked, lambda record: record.said("UserMessage") or "", prompt, exact=exact)
        return None if ours is None else _collect(records, ours)

    return search_records(path, decoder, find, lambda records: any(0 < r.time_ms < since for r in records[:50]))


def turn_began(path: Path, entered_at_ms: int) -> bool:
    """Whether the log has a turn that began since then. Raises OSError."""
    since = entered_at_ms - CLOCK_SLACK_MS

    def find(records: list[Record]) -> bool | None:
        return any(r.event == "task_started" and r.time_ms >= since for r in records) or None

    return bool(search_records(path, decoder, find, lambda records: any(0 < r.time_ms < since for r in records[:50])))


def _collect(records: Sequence[Record], asked: Record) -> Answer:
    """What was said after the prompt in its turn; the error's words for a turn that failed without any."""
    texts: list[str] = []
    turn = asked.payload.turn_id
    for record in records[records.index(asked) + 1 :]:
        if record.payload.turn_id != turn:
            continue
        if said := record.said("AgentMessage"):
            texts.append(said)
        if record.event in ENDS:
            failure = message_of(record.payload.error)
            text = "\n\n".join(texts) or record.payload.last_agent_message or failure or ""
            return Answer(text.strip("\n"), True, failure)
    return Answer("\n\n".join(texts).strip("\n"), False)


def message_of(error: Any) -> str | None:
    """The words of an error that ended a turn."""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else None


class Work(Struct):
    """What the records so far say of the present turn: whether one is going on, and its commands without a result."""

    turn: str | None = None
    seen: bool = False
    calls: dict[str, str] = msgspec.field(default_factory=dict)

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            payload = record.payload
            if record.event == "task_started":
                self.turn, self.seen = payload.turn_id or "", True
                self.calls.clear()
            elif record.event in ENDS:
                self.turn, self.seen = None, True
                self.calls.clear()
            elif record.type == "response_item" and payload.call_id:
                if payload.type in CALLS:
                    self.calls[payload.call_id] = command_of(payload)
                elif payload.type in OUTPUTS:
                    self.calls.pop(payload.call_id, None)

    @property
    def call(self) -> tuple[str, str] | tuple[None, None]:
        """Id and command of the one call that runs or is asked for. Of several it can't be told which is asked for."""
        return next(iter(self.calls.items())) if len(self.calls) == 1 else (None, None)


def command_of(call: Payload) -> str:
    """Exactly what a call runs: the command of a shell tool, else the tool's name and its input."""
    given = call.arguments if call.arguments is not None else call.input
    arguments = _decoded(given)
    if isinstance(arguments, dict):
        command = arguments.get("cmd", arguments.get("command"))
        if isinstance(command, str):
            return command
        if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
            # `bash -lc <script>`: what a person reads is the script.
            return str(command[-1]) if len(command) == 3 and command[1] in ("-lc", "-c") else " ".join(command)
    return f"{call.name or 'tool'} {arguments_text(given if arguments is None else arguments)}"


def _decoded(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except msgspec.MsgspecError:
        return None
