"""What recordings have to reach, and those that are known not to: a list that can only get shorter and better."""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.testing.corpus.score import Score
from meshd_core.testing.corpus.state_score import Limited
from meshd_core.types import ActivityState

KNOWN_FILE = "known.toml"


class Times(Struct, frozen=True):
    """Of `count` delays, in seconds: median, 95th percentile, maximum; None if there was none."""

    count: int
    p50: float | None
    p95: float | None
    max: float | None


class Summary(Struct, frozen=True):
    """Scores of one recording or of many as one. Shares are from 0 to 1; None where there was nothing to judge."""

    recordings: int
    judged: float | None
    """Share of the recordings' time."""
    accuracy: float | None
    """Of the judged time from readiness on, as `unknown` and `stuck` are; `start`: of that before."""
    unknown: float | None
    stuck: float | None
    start: float | None
    flickers: int
    early: int
    """Idle that was said within a turn."""
    delays: Times
    """Of all changes of state; `to_busy`, `to_idle`, `to_waiting`: of those to one."""
    to_busy: Times
    to_idle: Times
    to_waiting: Times
    turns: int
    idle: Times
    """From a turn's last byte, with no excuse for drawing; without turns in which idle was said before it."""
    limited: Limited
    approvals: int
    approvals_seen: int
    """With their options and the command that they are about."""
    approval_p95: float | None
    dialogs: int
    precision: float | None
    recall: float | None
    doubled: int
    replies: int
    replies_missing: int
    replies_doubled: int
    line_delays: Times


class Floors(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of a summary: shares at least, the other at most. `dialogs`: how many more or less than were asked."""

    accuracy: float = 0.99
    start: float = 0.99
    flickers: int = 0
    early: int = 0
    delay_p95: float = 0.5
    approvals: float = 1.0
    dialogs: int = 0
    precision: float = 0.98
    recall: float = 1.0
    doubled: int = 0
    replies_missing: int = 0
    replies_doubled: int = 0


FLOORS = Floors()


class Known(Struct, frozen=True, forbid_unknown_fields=True):
    """A recording that fails: each value that misses its floor as it is now, to three digits, and why. It is held to
    all other floors.
    """

    reason: str
    accuracy: float | None = None
    start: float | None = None
    flickers: int | None = None
    early: int | None = None
    delay_p95: float | None = None
    approvals: float | None = None
    dialogs: int | None = None
    precision: float | None = None
    recall: float | None = None
    doubled: int | None = None
    replies_missing: int | None = None
    replies_doubled: int | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("a recording that is known to fail needs a reason")

    def values(self) -> dict[str, float]:
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if name != "reason" and value is not None}


_AT_LEAST = ("accuracy", "start", "approvals", "precision", "recall")


def summary(scores: Sequence[Score]) -> Summary:
    """All of `scores` as one."""
    states = [score.states for score in scores]
    running, starting = [state.running for state in states], [state.starting for state in states]
    judged, before = sum(share.judged for share in running), sum(share.judged for share in starting)
    delays = [delay for state in states for delay in state.delays]
    limited = [state.limited for state in states]
    lines = [score.lines for score in scores]
    approvals = [score.approvals for score in scores]

    def to(wanted: ActivityState) -> Times:
        return times(delay.seconds for delay in delays if delay.state == wanted)

    return Summary(
        recordings=len(scores),
        judged=_share(judged + before, sum(state.length for state in states)),
        accuracy=_share(sum(share.right for share in running), judged),
        unknown=_share(sum(share.unknown for share in running), judged),
        stuck=_share(sum(share.stuck for share in running), judged),
        start=_share(sum(share.right for share in starting), before),
        flickers=sum(state.flickers for state in states),
        early=sum(state.early for state in states),
        delays=times(delay.seconds for delay in delays),
        to_busy=to("busy"),
        to_idle=to("idle"),
        to_waiting=to("waiting"),
        turns=sum(len(state.idle_delays) for state in states),
        idle=times(delay for state in states for delay in state.idle_delays if delay is not None),
        limited=Limited(
            sum(one.waits for one in limited), sum(one.said for one in limited),
            sum(one.wait_s for one in limited), sum(one.said_s for one in limited),
        ),
        approvals=sum(approval.asked for approval in approvals),
        approvals_seen=sum(min(approval.options, approval.commands) for approval in approvals),
        approval_p95=times(delay for approval in approvals for delay in approval.delays).p95,
        dialogs=sum(approval.dialogs for approval in approvals),
        precision=_share_left(sum(len(line.noise) for line in lines), sum(line.emitted for line in lines)),
        recall=_share_left(sum(len(line.missing) for line in lines), sum(line.expected for line in lines)),
        doubled=sum(len(line.doubled) for line in lines),
        replies=sum(score.replies.said for score in scores),
        replies_missing=sum(len(score.replies.missing) for score in scores),
        replies_doubled=sum(len(score.replies.doubled) for score in scores),
        line_delays=times(delay for line in lines for delay in line.delays),
    )  # fmt: skip


def shortfalls(found: Summary, floors: Floors = FLOORS) -> dict[str, float]:
    """The values that don't reach their floors, to three digits; what could not be judged is no shortfall."""
    values: dict[str, float | None] = {
        "accuracy": found.accuracy,
        "start": found.start,
        "flickers": found.flickers,
        "early": found.early,
        "delay_p95": found.delays.p95,
        "approvals": _share(found.approvals_seen, found.approvals),
        "dialogs": abs(found.dialogs - found.approvals),
        "precision": found.precision,
        "recall": found.recall,
        "doubled": found.doubled,
        "replies_missing": found.replies_missing,
        "replies_doubled": found.replies_doubled,
    }
    short = {}
    for name, value in values.items():
        floor = getattr(floors, name)
        if value is not None and (value < floor if name in _AT_LEAST else value > floor):
            short[name] = round(value, 3)
    return short


def read_known(corpus: Path) -> Mapping[str, Known]:
    """The list in `corpus`, by recording; empty if there is none. Raises ValueError for what is not in its shape."""
    path = corpus / KNOWN_FILE
    try:
        return msgspec.convert(tomllib.loads(path.read_text()) if path.exists() else {}, dict[str, Known])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {error}") from error


def known_text(found: Mapping[str, Score], known: Mapping[str, Known]) -> str:
    """What the list would have to say of `found`, by name; the reason of one that is new is empty, for a person."""
    parts = []
    for name, score in found.items():
        if values := shortfalls(summary([score])):
            reason = known[name].reason if name in known else ""
            lines = [f'["{name}"]', *(f"{key} = {value:g}" for key, value in values.items())]
            parts.append("\n".join([*lines, f"reason = {msgspec.json.encode(reason).decode()}"]))
    return "\n\n".join(parts) + "\n"


def times(seconds: Iterable[float]) -> Times:
    """The smallest of `seconds` that at least half, or 95 of 100, don't exceed; and the largest."""
    found = sorted(seconds)
    if not found:
        return Times(0, None, None, None)
    p50, p95 = (found[max(0, math.ceil(share * len(found)) - 1)] for share in (0.5, 0.95))
    return Times(len(found), p50, p95, found[-1])


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _share_left(part: float, whole: float) -> float | None:
    return 1 - part / whole if whole else None
