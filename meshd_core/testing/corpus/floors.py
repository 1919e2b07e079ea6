"""What recordings have to reach, and those that are known not to: a list that can only get shorter and better."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.testing.corpus.score import Score

KNOWN_FILE = "known.toml"


class Summary(Struct, frozen=True):
    """Scores of one recording or of many as one. Shares are from 0 to 1; delays are seconds, None if there was none."""

    recordings: int
    accuracy: float
    unknown: float
    stuck: float
    flickers: int
    delay_p50: float | None
    delay_p95: float | None
    approvals: int
    approvals_seen: int
    """With their options and the command that they are about."""
    approval_p95: float | None
    dialogs: int
    precision: float
    recall: float
    doubled: int
    line_p50: float | None
    line_p95: float | None


class Floors(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of a summary: `delay_p95` (seconds), `flickers` and `doubled` at most, the other (shares) at least."""

    accuracy: float = 0.99
    flickers: int = 0
    delay_p95: float = 0.5
    approvals: float = 1.0
    precision: float = 0.98
    recall: float = 1.0
    doubled: int = 0


FLOORS = Floors()


class Known(Struct, frozen=True, forbid_unknown_fields=True):
    """A recording that fails: each value below its floor as it is now, to three digits, and why."""

    reason: str
    accuracy: float | None = None
    flickers: int | None = None
    delay_p95: float | None = None
    approvals: float | None = None
    precision: float | None = None
    recall: float | None = None
    doubled: int | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("a recording that is known to fail needs a reason")

    def values(self) -> dict[str, float]:
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if name != "reason" and value is not None}


_AT_MOST = ("flickers", "delay_p95", "doubled")


def summary(scores: Sequence[Score]) -> Summary:
    """All of `scores` as one."""
    states = [score.states for score in scores]
    judged = sum(state.judged for state in states)
    delays = [delay for state in states for delay in state.delays]
    lines = [score.lines for score in scores]
    line_delays = [delay for line in lines for delay in line.delays]
    approvals = [score.approvals for score in scores]
    return Summary(
        recordings=len(scores),
        accuracy=_share(sum(state.right for state in states), judged, 1.0),
        unknown=_share(sum(state.unknown for state in states), judged, 0.0),
        stuck=_share(sum(state.stuck for state in states), judged, 0.0),
        flickers=sum(state.flickers for state in states),
        delay_p50=percentile(delays, 0.5),
        delay_p95=percentile(delays, 0.95),
        approvals=sum(approval.asked for approval in approvals),
        approvals_seen=sum(min(approval.options, approval.commands) for approval in approvals),
        approval_p95=percentile([delay for approval in approvals for delay in approval.delays], 0.95),
        dialogs=sum(approval.dialogs for approval in approvals),
        precision=1 - _share(sum(len(line.noise) for line in lines), sum(line.emitted for line in lines), 0.0),
        recall=1 - _share(sum(len(line.missing) for line in lines), sum(line.expected for line in lines), 0.0),
        doubled=sum(len(line.doubled) for line in lines),
        line_p50=percentile(line_delays, 0.5),
        line_p95=percentile(line_delays, 0.95),
    )


def shortfalls(found: Summary, floors: Floors = FLOORS) -> dict[str, float]:
    """The values that don't reach their floors, to three digits."""
    values: dict[str, float] = {
        "accuracy": found.accuracy,
        "flickers": found.flickers,
        "delay_p95": found.delay_p95 or 0.0,
        "approvals": _share(found.approvals_seen, found.approvals, 1.0),
        "precision": found.precision,
        "recall": found.recall,
        "doubled": found.doubled,
    }
    short = {}
    for name, value in values.items():
        floor = getattr(floors, name)
        if value > floor if name in _AT_MOST else value < floor:
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


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest of `values` that at least `share` of them don't exceed; None of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _share(part: float, whole: float, of_nothing: float) -> float:
    return part / whole if whole else of_nothing
