"""How long after a change of truth a state was said. States that were said before the change took no time: they are
left out, as zeros would make every other delay look rare.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.following import GRACE_S
from meshd_core.testing.corpus.phases import UNKNOWN, Phase
from meshd_core.testing.corpus.spans import Segment, Span, held, within
from meshd_core.testing.corpus.truth import Truth
from meshd_core.types import ActivityState


class Delay(Struct, frozen=True):
    """Seconds from when `state` was true until it was said, or until the truth changed again."""

    state: ActivityState
    seconds: float


def changes(phases: Sequence[Phase], said: Sequence[Segment]) -> Iterator[Delay]:
    """For each phase that has one state, and that goes on for long enough when no earlier one may."""
    due = 0.0
    for phase in phases:
        if len(phase.states) == 1 and phase.states != UNKNOWN and phase.end - due > GRACE_S:
            since = max(due, phase.start)
            pieces = [one for one in within(said, since, phase.end) if one.state in phase.states]
            first = pieces[0].start if pieces else phase.end
            if not held(said, Span(since, phase.end, phase.states)):
                yield Delay(phase.states[0], first - since)
        due = max(due, phase.end)


def until_idle_stays(truth: Truth, spans: Sequence[Span], said: Sequence[Segment]) -> Iterator[float | None]:
    """For each end of a turn: seconds from the model's last byte until `idle` was said for good.

    For good: until the truth changed again, and if it wasn't said by then, all that time. None: it had been said
    before the last byte, and was not taken back.
    """
    last_bytes = {round(prompt.last_byte, 3) for prompt in truth.prompts if prompt.last_byte is not None}
    for span in spans:
        if span.states != ("idle",) or span.start not in last_bytes:
            continue
        since = span.end
        for piece in reversed(list(within(said, span.start, span.end))):
            if piece.state != "idle":
                break
            since = piece.start
        yield None if since == span.start and held(said, span) else since - span.start
