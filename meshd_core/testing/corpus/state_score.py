"""Scores of the states that were said.

An agent needs a moment to show what it does, and so does the detector. For `GRACE_S` after each change of truth the
state of before counts as well: how long it took is the delay, which is scored by itself.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.delays import Delay, until_idle_stays
from meshd_core.testing.corpus.failures import Failure
from meshd_core.testing.corpus.on_screen import compact
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.spans import Segment, Span, held, segments, spans, within
from meshd_core.testing.corpus.truth import Truth
from meshd_core.testing.model_plan import SHELL_TOOLS, plan_answer
from meshd_core.types import ActivityState

GRACE_S = 0.5
FLICKER_S = 0.25
DRAWING_S = 3.0
"""An agent has to have drawn its answer so soon after the last byte."""
_NEGLIGIBLE_S = 0.001


class Limited(Struct, frozen=True):
    """Waits after a 429: how many, in how many of them `limited` was said; seconds of all, and of its being said."""

    waits: int = 0
    said: int = 0
    wait_s: float = 0.0
    said_s: float = 0.0


class StateScore(Struct, frozen=True):
    """Seconds, but for `flickers`. `judged`: those of `length` that have a truth and come after its grace; `right`,
    `unknown`, `stuck` are parts of it.
    """

    length: float
    judged: float
    right: float
    unknown: float
    stuck: float
    flickers: int
    delays: tuple[Delay, ...]
    idle_delays: tuple[float | None, ...]
    """From the last byte of each turn until `idle` stays, with no excuse for drawing; None: it was said before."""
    limited: Limited


def score_states(truth: Truth, replay: Replay, failures: list[Failure]) -> StateScore:
    """Score the states of one replay; what was wrong is added to `failures`."""
    changes = [
        # What is over before anyone has to have said it is left out, whether it was said or not.
        Span(span.start, span.end, span.states if span.end - span.start > GRACE_S else ())
        for span in spans(truth.states, truth.ends)
    ]
    judged_spans = _with_drawing(changes, truth, replay)
    # A flicker is judged by all that was true.
    true = _with_drawing(spans(truth.states, truth.ends), truth, replay)
    said = segments(replay.timeline, truth.ends)
    judged = right = unknown = stuck = 0.0
    delays: list[Delay] = []
    for span in judged_spans:
        if not span.states or span.end <= span.start:
            continue
        arrived = _arrival(span, true, said)
        if len(span.states) == 1 and not _held_at_change(said, span, changes):
            delays.append(Delay(span.states[0], _delay(span, arrived, said)))
        for piece in within(said, span.start if arrived is None else arrived, span.end):
            length = piece.end - piece.start
            judged += length
            unknown += length if piece.state == "unknown" else 0.0
            stuck += length if piece.state == "stuck" else 0.0
            if piece.state in span.states:
                right += length
            elif length > _NEGLIGIBLE_S:
                failures.append(Failure("state", piece.start, "/".join(span.states), piece.state, piece.rule))
    flickers = list(_flickers(true, said))
    failures += flickers
    return StateScore(
        truth.ends, judged, right, unknown, stuck, len(flickers), tuple(delays),
        tuple(until_idle_stays(truth, changes, said)), _limited(truth, changes, said),
    )  # fmt: skip


def _with_drawing(changes: Sequence[Span], truth: Truth, replay: Replay) -> list[Span]:
    """After its answer's last byte an agent is idle, but until it has drawn the answer it may be said to be busy."""
    typed = compact(" ".join(prompt.text for prompt in truth.prompts))
    lines = zip(truth.lines, replay.shown, strict=True)
    times = [*(at for text, at in lines if compact(text) not in typed), *replay.drawn]
    replies = {round(prompt.last_byte, 3): bool(prompt.reply) for prompt in truth.prompts if prompt.last_byte}
    found: list[Span] = []
    for span in changes:
        latest = min(span.end, span.start + DRAWING_S)
        until = max((at for at in times if at is not None and span.start < at < latest), default=span.start)
        if replies.get(span.start) and not any(at is not None and at < latest for at in times):
            until = latest  # it can't be seen at all
        if span.states == ("idle",) and until > span.start and span.start in replies:
            found += [Span(span.start, until, ("idle", "busy")), Span(until, span.end, span.states)]
        else:
            found.append(span)
    return found


def _held_at_change(said: Sequence[Segment], span: Span, changes: Sequence[Span]) -> bool:
    """Whether the state of `span` was said before the change of truth; while an answer is drawn it is said in time."""
    change = next(one for one in changes if one.start <= span.start < one.end)
    return held(said, change)


def _delay(span: Span, arrived: float | None, said: Sequence[Segment]) -> float:
    first = next((piece.start for piece in within(said, span.start, span.end) if piece.state in span.states), span.end)
    return (first if arrived is None else arrived) - span.start


def _arrival(span: Span, true: Sequence[Span], said: Sequence[Segment]) -> float | None:
    """When a state of `span` had come to stay; None if not within the grace, or if something else came before it."""
    latest = min(span.start + GRACE_S, span.end)
    pieces = list(within(said, span.start, latest))
    if not pieces or pieces[-1].state not in span.states:
        return None
    arrived = pieces[-1].start
    while pieces and pieces[-1].state in span.states:
        arrived = pieces.pop().start
    before = {one.state for one in said if one.start < span.start < one.end}
    before |= _true_around(true, span.start - GRACE_S, span.start)
    return arrived if all(piece.state in before or piece.state in span.states for piece in pieces) else None


def _true_around(true: Sequence[Span], start: float, end: float) -> set[ActivityState]:
    return {state for span in true if span.start < end and span.end >= start for state in span.states}


def _flickers(true: Sequence[Span], said: Sequence[Segment]) -> Iterator[Failure]:
    """States that were said for less than FLICKER_S, and that were not true then nor just before."""
    for segment in said[1:-1]:
        if segment.end - segment.start >= FLICKER_S:
            continue
        true_now = _true_around(true, segment.start, segment.end)
        if true_now and segment.state not in true_now | _true_around(true, segment.start - GRACE_S, segment.end):
            yield Failure("flicker", segment.start, "/".join(sorted(true_now)), segment.state, segment.rule)


def _limited(truth: Truth, changes: Sequence[Span], said: Sequence[Segment]) -> Limited:
    """How the tries after a 429 were told. All tries of one prompt are one wait: the truth does not tell them apart."""
    if not any(plan_answer(prompt.text, SHELL_TOOLS, None).status == 429 for prompt in truth.prompts):
        return Limited()
    waits = [
        sum(piece.end - piece.start for piece in within(said, span.start, span.end) if piece.state == "limited")
        for span in changes
        if "limited" in span.states
    ]
    wait_s = sum(span.end - span.start for span in changes if "limited" in span.states)
    return Limited(len(waits), sum(said_s > 0 for said_s in waits), wait_s, sum(waits))
