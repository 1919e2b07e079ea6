"""What became of prompts that core typed into a live agent: one file for each version that it was tried with.

Recordings can't tell: their prompts are typed by the scenario, not by core's submit machine. `make record-prompts`
sends the prompts of tests/agents/test_traps.py through a real daemon to the real CLI; the fake model tells what came.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.testing.corpus.floors import Times

PROMPTS_FILE = "prompts.json"


class PromptScore(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of prompts: each of `sent` is one of `once`, `refused`, `changed`, `doubled` and `lost`."""

    cli: str
    version: str
    recorded_at: str
    """RFC 3339, UTC."""
    sent: int
    once: int
    """Reached the model exactly once, with the text that the receipt states."""
    refused: int
    """There was nothing in it to submit, or the agent would take it for a command: refused with a reason."""
    changed: int
    """Reached it once, as another text."""
    doubled: int
    lost: int
    """Neither reached it nor had to be refused."""
    falsely_confirmed: int
    """`submitted` was told of a prompt that never reached it."""
    replies: int
    """Prompts that reached it and were told to be completed."""
    replies_right: int
    """Those whose receipt has the model's whole text, blanks at its ends apart."""
    completed: Times
    """Seconds from the last byte of a turn's answer until its receipt was completed, of turns in a row."""
    note: str = ""
    """Why a reply that isn't the model's whole text is what the agent itself says; empty: there was none."""


def write_prompts(score: PromptScore, corpus: Path) -> Path:
    """Write it into the folder of its version; the file's path."""
    path = corpus / f"{score.cli}-{score.version}" / PROMPTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(score), indent=1) + b"\n")
    return path


def read_prompts(corpus: Path) -> list[PromptScore]:
    """Those of all versions in `corpus`, by name. Raises ValueError for what is in no such shape."""
    found = []
    for path in sorted(corpus.glob(f"*/{PROMPTS_FILE}")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=PromptScore))
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path}: {error}") from error
    return found


MEANING = """\
Recordings can't tell whether core submits prompts well: theirs are typed by the scenarios. These were sent to live
agents by a daemon (`make record-prompts`): a hundred that an input box could take for something else
(tests/agents/traps.py), then turns in a row. What the fake model received is the proof. Each prompt reached it
**once**, as its receipt states; or was **refused** with a reason, as there was nothing in it or the agent would have
taken it for a command; or reached it **changed**, **doubled**, or not at all (**lost**). **Falsely confirmed**: told to
be submitted, but never received. **Replies right**: completed prompts whose receipt has the model's whole text.
**Completed after last byte**: seconds from the last byte of the answer until the receipt was completed, of the turns in
a row: median, 95th percentile, maximum, and how many."""
HEAD = (
    "version", "sent", "once", "refused", "changed", "doubled", "lost", "falsely confirmed", "replies right",
    "completed after last byte",
)  # fmt: skip


def rows(scores: Iterable[PromptScore]) -> list[Sequence[str]]:
    """The report's table."""
    return [
        [
            f"{one.cli} {one.version}",
            *(str(n) for n in (one.sent, one.once, one.refused, one.changed, one.doubled, one.lost)),
            str(one.falsely_confirmed),
            f"{one.replies_right} of {one.replies}",
            _times(one.completed),
        ]
        for one in scores
    ]


def notes(scores: Iterable[PromptScore]) -> str:
    """Below the table."""
    return "\n".join(f"- {one.cli} {one.version}: {one.note}" for one in scores if one.note)


def _times(found: Times) -> str:
    values = (found.p50, found.p95, found.max)
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values) + f" ({found.count})"
