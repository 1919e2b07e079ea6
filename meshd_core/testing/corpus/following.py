"""How what was said follows the phases: in their order, at most `GRACE_S` late, never back.

An agent needs a moment to show what it does, and so does the detector: what was right less than `GRACE_S` ago is not
wrong yet. How long it took is the delay, which is scored by itself. But a state that was left is not right once more
because its time is not long over: going back and forth is wrong from its beginning.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.testing.corpus.phases import Phase
from meshd_core.testing.corpus.spans import Segment
from meshd_core.types import ActivityState

GRACE_S = 0.5
Verdict = Literal["right", "late", "wrong"]


class Judged(Struct, frozen=True):
    """A piece of time in which `state` was said. `late`: it was right just before, and what is true was said in time.

    `segment` is the number of the segment of what was said that it is a part of.
    """

    segment: int
    start: float
    end: float
    state: ActivityState
    verdict: Verdict
    expected: tuple[ActivityState, ...]


def followed(phases: Sequence[Phase], said: Sequence[Segment]) -> list[Judged]:
    """All of `said`, piece by piece."""
    borders = {at for phase in phases for at in (phase.start, phase.end, phase.end + GRACE_S)}
    found: list[Judged] = []
    step = 0  # the earliest phase that what was said can be in: the less it has gone on, the more may follow
    for number, segment in enumerate(said):
        inside = sorted(at for at in borders if segment.start < at < segment.end)
        for start, end in pairwise([segment.start, *inside, segment.end]):
            recent = [n for n, p in enumerate(phases) if n >= step and p.start <= start and end <= p.end + GRACE_S]
            now = [n for n in recent if end <= phases[n].end]
            fits = [n for n in recent if segment.state in phases[n].states]
            verdict: Verdict = "right" if any(n in now for n in fits) else "late" if fits else "wrong"
            step = fits[0] if fits else step
            expected = tuple(dict.fromkeys(state for n in now for state in phases[n].states))
            found.append(Judged(number, start, end, segment.state, verdict, expected))
    return _not_in_time(found)


def _not_in_time(found: list[Judged]) -> list[Judged]:
    """What went on for longer than it may be late was wrong from its beginning."""
    result: list[Judged] = []
    for piece in found:
        if piece.verdict == "wrong":
            for index in range(len(result) - 1, -1, -1):
                if result[index].segment != piece.segment or result[index].verdict != "late":
                    break
                result[index] = replace(result[index], verdict="wrong")
        result.append(piece)
    return result
