"""What was true during a recording. Times are seconds from the cast's start.

`states` holds what was true, each span up to the next one's beginning: where the truth changed at a moment that nobody
saw (between a key and the program's reaction), the span is empty. `phases` says what is right in it.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.contracts.kinds import Observation
from meshd_core.types import ActivityState, Message, MessageSource

TRUTH_SUFFIX = ".truth.json"


class StateSpan(Struct, frozen=True, forbid_unknown_fields=True):
    """The states from `since` on, any of which is right; empty: nobody can tell which of its neighbours' is."""

    since: float
    states: tuple[ActivityState, ...]


class PromptTruth(Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt that was typed, and the turn that the model backend had for it.

    `entered` is when Enter was written. The other times are the backend's: the request's arrival, the first and the
    last byte of the turn's answers; None where there was none.
    """

    text: str
    entered: float
    received: tuple[str, ...]
    """What the backend got as the user's text, each once; empty: the prompt never arrived."""
    requested: float | None
    first_byte: float | None
    last_byte: float | None
    reply: str
    """All text that the model sent in the turn."""


class ChannelReport(Struct, frozen=True, forbid_unknown_fields=True):
    """What the kind's session reported while recording: its API, its status file. Not to be had from the bytes."""

    at: float
    observation: Observation


class RecordReport(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the agent's own records held from `at` on, as the kind's session read them: the first `kept` messages of the
    report before, then `messages`. Not to be had from the bytes: an agent may draw the end of an answer only.
    """

    at: float
    kept: int = 0
    messages: tuple[Message, ...] = ()
    source: MessageSource = "log"
    warning: str | None = None


class Truth(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known of one recording besides its bytes."""

    cli: str
    version: str
    scenario: str
    columns: int
    rows: int
    recorded_at: str
    """RFC 3339, UTC."""
    states: tuple[StateSpan, ...]
    prompts: tuple[PromptTruth, ...]
    lines: tuple[str, ...]
    """Lines that the model sent whole: a clean transcript holds them in this order, each as often as here."""
    channel: tuple[ChannelReport, ...]
    ends: float
    """When the recording, or the process before it, ended."""
    exit: int | None = None
    """The program's status, negative for a signal; None: it was still running when the recording stopped."""
    records: tuple[RecordReport, ...] = ()
    """Empty: the kind reads none, or they were not recorded."""


def acceptable(states: Sequence[StateSpan], at: float) -> tuple[ActivityState, ...]:
    """The states at `at`; empty: nobody can tell."""
    found: tuple[ActivityState, ...] = ()
    for span in states:
        if span.since > at:
            break
        found = span.states
    return found


def write_truth(truth: Truth, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n")


def read_truth(path: Path) -> Truth:
    """Raises OSError, and msgspec.MsgspecError for what isn't a truth file."""
    return msgspec.json.decode(path.read_bytes(), type=Truth)
