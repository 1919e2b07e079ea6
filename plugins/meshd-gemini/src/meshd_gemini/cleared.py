"""Which log a Gemini CLI writes after a `/clear`: another one, under an id that nothing tells.

`~/.gemini/tmp/<project>/logs.json` has what was entered in a project, also commands, each with a time and with the id
that its program was *started* with, whatever it goes on under. So the `/clear` of our program is known, and the log
that was begun right after it is ours, if what was said first there was entered by our program. Others in the folder may
have begun theirs meanwhile: where it can't be told, none is ours. Measured with 0.58.0 and 0.61.0.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.api import CLOCK_SLACK_MS, decode_lines, epoch_ms, same_prompt
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
_CLEARS = ("/clear", "/new")


class Entered(Struct, rename={"session": "sessionId"}):
    """One prompt or command, as a person or core entered it."""

    session: str
    message: str
    timestamp: str

    @property
    def time_ms(self) -> float:
        return epoch_ms(self.timestamp)

    @property
    def clears(self) -> bool:
        return self.message.partition(" ")[0] in _CLEARS


class Cleared(Struct):
    """A `/clear`, and the prompts that were entered after it."""

    at_ms: float
    prompts: list[Entered]


_records = msgspec.json.Decoder(Record)


def last_clear(chats: Path, session_id: str, since_ms: float) -> Cleared | None:
    """The last `/clear` of the program that was started with `session_id`; None: there was none since `since_ms`, or
    it isn't known. `chats`: the folder of its logs.
    """
    path = chats.parent / ENTERED
    try:
        if path.stat().st_size > MAX_ENTERED_BYTES:
            return None
        everything = msgspec.json.decode(path.read_bytes(), type=list[Entered])
    except (OSError, msgspec.MsgspecError):  # none yet, or just being written
        return None
    ours = [one for one in everything if one.session == session_id and one.time_ms >= since_ms]
    last = max((index for index, one in enumerate(ours) if one.clears), default=None)
    if last is None:
        return None
    return Cleared(ours[last].time_ms, [one for one in ours[last:] if not one.message.startswith("/")])


def log_since(chats: Path, cleared: Cleared) -> tuple[Path, str] | None:
    """The log that `cleared` began, and its id; None: there is none yet, or it is one of several."""
    found = [(path, head.session) for path, head in _begun(chats, cleared.at_ms) if _fits(path, cleared.prompts)]
    return found[0] if len(found) == 1 else None


def _begun(chats: Path, cleared_ms: float) -> Iterator[tuple[Path, Head]]:
    for path in chats.glob("session-*.jsonl"):
        head = read_head(path)
        after_ms = epoch_ms(head.started) - cleared_ms
        if head.session and head.kind == "main" and 0 <= after_ms <= BEGUN_WITHIN_MS:
            yield path, head


def _fits(path: Path, prompts: list[Entered]) -> bool:
    """Whether what was said first in a log is one of `prompts`; without any, whether nothing was said in it."""
    said = _first_prompt(path)
    if said is None or not prompts:
        return said is None and not prompts
    return any(
        -CLOCK_SLACK_MS <= said.time_ms - one.time_ms <= SAID_WITHIN_MS
        # What is mentioned is put into the prompt.
        and (same_prompt(said.text, one.message) or "@" in one.message)
        for one in prompts
    )


def _first_prompt(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            lines = file.read(FIRST_BYTES).split(b"\n")
    except OSError:
        return None
    return next((record for record in decode_lines(lines, _records) if record.is_prompt), None)
