"""Which log a Gemini CLI writes after a `/clear` or a `/resume`: another one, under an id that nothing tells.

`~/.gemini/tmp/<project>/logs.json` has what was entered in a project, also commands, each with a time and with the id
that its program was *started* with, whatever it goes on under. So the commands of our program are known. The log that
was begun right after its `/clear` is ours, if what was said first there was entered by our program; after a `/resume`
the log is that has what our program was given since. Others in the folder may have begun theirs, or been given the
same, meanwhile: where it can't be told, none is ours. Measured with 0.58.0 and 0.61.0.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.api import CLOCK_SLACK_MS, decode_lines, epoch_ms, same_prompt, search_records
from meshd_gemini.chat import Head, Record, read_head

ENTERED = "logs.json"
MAX_ENTERED_BYTES = 16 << 20
"""It holds all prompts of a project, and is written anew for each."""
BEGUN_WITHIN_MS = 30_000
"""How long after `/clear` the new log may be begun: hooks of its user run before."""
SAID_WITHIN_MS = 5_000
"""How long after a prompt was entered its record may be written."""
FIRST_BYTES = 1 << 20
"""How much of a log is searched for its first prompt: a description of the folder may stand before it."""
SOUGHT_PROMPTS = 3
"""So many of the newest prompts are looked for in the logs: of the very last there may be no record yet."""
_CLEARS = ("/clear", "/new")
_RESUMES = ("/resume", "/chat")
_MENTION = re.compile(r'(?<=@)(?:"[^"]*"|\S+)')
_FILES = "\n--- Content from referenced files ---"


class Entered(Struct, rename={"session": "sessionId"}):
    """One prompt or command, as a person or core entered it."""

    session: str
    message: str
    timestamp: str

    @property
    def time_ms(self) -> float:
        return epoch_ms(self.timestamp)

    @property
    def command(self) -> str:
        return self.message.partition(" ")[0]


_records = msgspec.json.Decoder(Record)


class Entries:
    """What was entered in the program that was started with `session_id`, since `since_ms`."""

    def __init__(self, session_id: str, since_ms: float) -> None:
        self._session_id, self._since_ms = session_id, since_ms
        self._seen: tuple[int, int] | None = None
        self._entries: tuple[Entered, ...] = ()

    def read(self, chats: Path) -> tuple[Entered, ...]:
        """Oldest first, and the same object as before if nothing was entered; `chats`: the folder of the logs."""
        path = chats.parent / ENTERED
        try:
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
            if state == self._seen or status.st_size > MAX_ENTERED_BYTES:
                return self._entries
            everything = msgspec.json.decode(path.read_bytes(), type=list[Entered])
        except (OSError, msgspec.MsgspecError):  # none yet, or just being written
            return self._entries
        self._seen = state
        ours = (one for one in everything if one.session == self._session_id and one.time_ms >= self._since_ms)
        self._entries = tuple(ours)
        return self._entries


class Present(Struct):
    """The log at `path`, whose conversation is `session_id`; `used`: whether anything was said there."""

    path: Path
    session_id: str
    used: bool


def present_log(chats: Path, entries: Sequence[Entered]) -> Present | None:
    """Where the program is since it was last switched to another log; None: it was not, or it can't be told.

    After a `/resume` that is not known before something is said: till then, it is where it was.
    """
    end = len(entries)
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].command not in (*_CLEARS, *_RESUMES):
            continue
        prompts = [one for one in entries[index + 1 : end] if not one.message.startswith("/")]
        if entries[index].command in _CLEARS:
            return _log_since(chats, entries[index].time_ms, prompts)
        if prompts:
            return _log_with(chats, prompts)
        end = index
    return None


def _log_since(chats: Path, cleared_ms: float, prompts: Sequence[Entered]) -> Present | None:
    """The log that a `/clear` began, in which `prompts` were said; None: there is none yet, or it is one of several."""
    found = [(path, head) for path, head in _begun(chats, cleared_ms) if _fits(path, prompts)]
    return Present(found[0][0], found[0][1].session, bool(prompts)) if len(found) == 1 else None


def _begun(chats: Path, cleared_ms: float) -> Iterator[tuple[Path, Head]]:
    for path in chats.glob("session-*.jsonl"):
        head = read_head(path)
        after_ms = epoch_ms(head.started) - cleared_ms
        if head.session and head.kind == "main" and 0 <= after_ms <= BEGUN_WITHIN_MS:
            yield path, head


def _fits(path: Path, prompts: Sequence[Entered]) -> bool:
    """Whether what was said first in a log is one of `prompts`; without any, whether nothing was said in it."""
    said = _first_prompt(path)
    if said is None or not prompts:
        return said is None and not prompts
    return any(_is(said, one) for one in prompts)


def _log_with(chats: Path, prompts: Sequence[Entered]) -> Present | None:
    """The log that has the newest of `prompts` that is on record; None: there is none, or it is one of several."""
    for prompt in reversed(prompts[-SOUGHT_PROMPTS:]):
        found = [path for path in chats.glob("session-*.jsonl") if _has(path, prompt)]
        if found:
            session = read_head(found[0]).session
            return Present(found[0], session, True) if len(found) == 1 and session else None
    return None


def _has(path: Path, prompt: Entered) -> bool:
    """Whether `prompt` is on record in a log."""
    since_ms = prompt.time_ms - CLOCK_SLACK_MS

    def find(records: list[Record]) -> bool | None:
        return any(record.is_prompt and _is(record, prompt) for record in records) or None

    try:
        if path.stat().st_mtime * 1000 < since_ms:
            return False
        found = search_records(
            path, _records, find, lambda records: any(0 < r.time_ms < since_ms for r in records[:50])
        )
    except OSError:
        return False
    return found is not None


def _is(said: Record, entered: Entered) -> bool:
    """Whether a record is that of what was entered: the same text, shortly after it."""
    if not -CLOCK_SLACK_MS <= said.time_ms - entered.time_ms <= SAID_WITHIN_MS:
        return False
    return same_prompt(said.text, entered.message) or _written_out(said.text, entered.message)


def _written_out(said: str, entered: str) -> bool:
    """Whether `said` is `entered` with something else behind each `@`: what is mentioned is put in its place."""
    first, *others = [_squeezed(part) for part in _MENTION.split(entered)]
    if not others:
        return False
    text = _squeezed(said.partition(_FILES)[0])
    at = len(first)
    for part in others[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.startswith(first) and text.endswith(others[-1]) and len(text) - len(others[-1]) >= at


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _first_prompt(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            lines = file.read(FIRST_BYTES).split(b"\n")
    except OSError:
        return None
    return next((record for record in decode_lines(lines, _records) if record.is_prompt), None)
