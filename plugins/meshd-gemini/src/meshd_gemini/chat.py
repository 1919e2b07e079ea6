"""Gemini CLI's session log: which records are the answer to a prompt.

`~/.gemini/tmp/<project>/chats/session-<time>-<first 8 of the id>.jsonl`: a head with the session's id, then messages,
one a line. A message that changed is written again under its id. After a refusal or an interrupt the whole history is
written again under new ids and times, then `$set` replaces the list of messages: what is looked for is the first record
of a prompt since Enter, and what follows it. There is no record of a turn's end. Measured with 0.61.0; unknown records
are passed over.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from meshd_core.api import CLOCK_SLACK_MS, Answer, epoch_ms, own_prompt, same_prompt, search_records

MAX_HEAD_BYTES = 64 << 10
CANCELLED = "Request cancelled."
_CONTEXT = "<session_context>"


class Record(Struct, rename={"tool_calls": "toolCalls", "display_content": "displayContent"}):
    """One message: `user`, `gemini`, `info` or `error`. A tool's result is a `user` message without text."""

    id: str = ""
    timestamp: str | None = None
    type: str = ""
    content: Any = None
    display_content: Any = None
    """A prompt without the files that it mentions, which `content` has as well."""
    tool_calls: Any = None

    @property
    def time_ms(self) -> float:
        return epoch_ms(self.timestamp)

    @property
    def text(self) -> str:
        content = self.display_content or self.content
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else []
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))

    @property
    def is_prompt(self) -> bool:
        return self.type == "user" and bool(self.text) and not self.text.startswith(_CONTEXT)


class Head(Struct, rename={"session": "sessionId", "started": "startTime"}):
    """The first record of a log."""

    session: str = ""
    started: str | None = None
    kind: str = "main"


_decoder = msgspec.json.Decoder(Record)
_head_decoder = msgspec.json.Decoder(Head)


def find_chats(home: Path, session_id: str) -> list[Path]:
    """The logs of a session, the newest first: a resume goes on in the old one, and leaves a second behind."""
    found = home.glob(f"tmp/*/chats/session-*-{session_id[:8]}.jsonl")
    return [path for path in sorted(found, reverse=True) if read_head(path).session == session_id]


def others_since(chat: Path, session_id: str, since_ms: float) -> bool:
    """Whether beside `chat` lies a conversation of another id that was begun after `since_ms`."""
    for path in chat.parent.glob("session-*.jsonl"):
        head = read_head(path)
        if head.session not in ("", session_id) and head.kind == "main" and epoch_ms(head.started) >= since_ms:
            return True
    return False


def read_head(path: Path) -> Head:
    """The first record of a log; an empty one if it isn't there yet."""
    try:
        with path.open("rb") as file:
            return _head_decoder.decode(file.readline(MAX_HEAD_BYTES))
    except (OSError, msgspec.MsgspecError):
        return Head()


def find_answer(path: Path, prompt: str, entered_at_ms: int, *, exact: bool = False) -> Answer | None:
    """What the log holds for `prompt`, or None if it isn't there yet. Raises OSError.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """
    since = entered_at_ms - CLOCK_SLACK_MS

    def find(records: list[Record]) -> Answer | None:
        prompts = [record for record in records if record.is_prompt and record.time_ms >= since]
        ours = [record for record in prompts if same_prompt(record.text, prompt)] or prompts
        asked = own_prompt(ours[:1], lambda record: record.text, prompt, exact=exact)
        return None if asked is None else _collect(records, asked)

    return search_records(path, _decoder, find, lambda records: any(0 < r.time_ms < since for r in records[:50]))


def _collect(records: Sequence[Record], asked: Record) -> Answer:
    """What was said after the prompt, up to the next one, each message in its last version."""
    said: dict[str, Record] = {}
    for record in records[records.index(asked) + 1 :]:
        if record.is_prompt or (record.type == "info" and record.text == CANCELLED):
            return Answer(_text(said), True)
        if record.type in ("gemini", "error"):
            said[record.id] = record
    last = next(reversed(said.values()), None)
    over = last is not None and bool(last.text) and not last.tool_calls
    error = last.text if last is not None and last.type == "error" else None
    return Answer(_text(said), over, error)


def _text(said: dict[str, Record]) -> str:
    """All that the model said; the errors of a turn in which it said nothing."""
    texts = [record.text for record in said.values() if record.type == "gemini" and record.text]
    errors = [record.text for record in said.values() if record.type == "error"]
    return "\n\n".join(texts or errors).strip("\n")
