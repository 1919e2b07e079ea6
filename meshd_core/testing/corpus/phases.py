"""From truth to what may be said when, nothing left out: phases, which overlap where facts don't tell their border.

A truth's span without states is a border that took some time: between Enter and the request's arrival an agent begins
to work, between an answer's key and the next request it goes on. Either side is right then, nothing else is, and who
has said the later side can't go back. What bounds such a time besides is in `landmarks`.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.testing.corpus.landmarks import first
from meshd_core.testing.corpus.on_screen import compact
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.spans import Span, spans
from meshd_core.testing.corpus.states import BUSY, IDLE, ONBOARDING, SETTLES_WITHIN_S, WAITING
from meshd_core.testing.corpus.truth import PromptTruth, Truth
from meshd_core.types import ActivityState

UNKNOWN: tuple[ActivityState, ...] = ("unknown",)
DRAWING_S = 3.0
"""An agent has to have drawn its answer so soon after the last byte."""


class Phase(Struct, frozen=True):
    """Any of `states` is right from `start`, at the earliest, to `end`, at the latest."""

    states: tuple[ActivityState, ...]
    start: float
    end: float


class _Border(Struct, frozen=True):
    """What a span without states means: the phase before ends at `ends`, then come `between`, and the phase after it
    may begin at `begins`.
    """

    ends: float
    begins: float
    between: tuple[Phase, ...] = ()


def phases(truth: Truth, replay: Replay) -> list[Phase]:
    """The phases in order: what is said has to follow them, and may leave some out."""
    around = spans(truth.states, truth.ends)
    found: list[Phase] = []
    begins: float | None = None
    for number, span in enumerate(around):
        if span.states:
            found.append(Phase(span.states, span.start if begins is None else begins, span.end))
            begins = None
            continue
        before = around[number - 1] if number else None
        after = around[number + 1] if number + 1 < len(around) else None
        border = _border(span, before, after, truth, replay)
        if before is not None:
            found[-1] = replace(found[-1], end=border.ends)
        found += border.between
        begins = border.begins
    return _with_drawing(found, truth, replay)


def starts(truth: Truth) -> list[Span]:
    """The times before the agent was ready in which it asked nothing."""
    around = spans(truth.states, truth.ends)
    before = [None, *around]
    return [
        span
        for one, span in zip(before, around, strict=False)
        if not span.states and (one is None or one.states == ONBOARDING)
    ]


def _border(gap: Span, before: Span | None, after: Span | None, truth: Truth, replay: Replay) -> _Border:
    marks = replay.landmarks
    follows = after.states if after is not None else ()
    if before is None or before.states == ONBOARDING:
        box = first(marks.box, gap.start, gap.end) if marks.box and follows == IDLE else gap.start
        passed = marks.passed_for_good(gap.start, gap.end)
        return _Border(passed, gap.end if box is None else box, (Phase(UNKNOWN, gap.start, gap.end),))
    if (left := first(marks.leaves, gap.start, gap.end)) is not None:
        return _Border(gap.end, gap.end, (Phase(UNKNOWN, left, gap.end),))
    if after is None:
        return _Border(gap.end, gap.end, (Phase(BUSY, gap.start, gap.end), Phase(IDLE, gap.start, gap.end)))
    if before.states == WAITING and follows != IDLE:
        return _Border(min(gap.start + SETTLES_WITHIN_S, gap.end), gap.start)
    key = gap.start if before.states == WAITING else first(marks.interrupts, gap.start, gap.end)
    if key is not None and follows == IDLE:
        stopped = first(marks.stopped, key, gap.end) or gap.end
        return _Border(stopped, gap.start, (Phase(BUSY, gap.start, stopped),))
    if (prompt := _entered(gap.start, truth)) is not None and "busy" not in follows:
        # The turn was so short that it has no span.
        arrived = gap.end if prompt.requested is None else min(prompt.requested, gap.end)
        return _Border(arrived, arrived if follows == WAITING else gap.end, (Phase(BUSY, gap.start, gap.end),))
    if "busy" in before.states and "busy" in follows:
        return _Border(gap.end, gap.start, (Phase(IDLE, gap.start, gap.end),))
    return _Border(gap.end, gap.start)


def _entered(at: float, truth: Truth) -> PromptTruth | None:
    return next((prompt for prompt in truth.prompts if round(prompt.entered, 3) == at), None)


def _with_drawing(found: Sequence[Phase], truth: Truth, replay: Replay) -> list[Phase]:
    """After its answer's last byte an agent is idle, but until it has drawn the answer it may be said to be busy."""
    typed = compact(" ".join(prompt.text for prompt in truth.prompts))
    lines = zip(truth.lines, replay.shown, strict=True)
    times = [*(at for text, at in lines if compact(text) not in typed), *replay.drawn]
    seen = [at for at in times if at is not None]
    replies = {round(prompt.last_byte, 3): bool(prompt.reply) for prompt in truth.prompts if prompt.last_byte}
    result: list[Phase] = []
    for phase in found:
        if phase.states == IDLE and phase.start in replies and result and "busy" in result[-1].states:
            latest = min(phase.end, phase.start + DRAWING_S)
            until = max((at for at in seen if phase.start < at < latest), default=phase.start)
            if replies[phase.start] and not any(at < latest for at in seen):
                until = latest  # it can't be seen at all
            result[-1] = replace(result[-1], end=max(result[-1].end, until))
        result.append(phase)
    return result
