"""Time cut into pieces: what was true from when to when, and what was said."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.replay import Moment
from meshd_core.testing.corpus.truth import StateSpan
from meshd_core.types import ActivityState


class Segment(Struct, frozen=True):
    """A time in which one state was said, by `rule` at its beginning."""

    start: float
    end: float
    state: ActivityState
    rule: str


class Span(Struct, frozen=True):
    """A time in which any of `states` is right; empty: nobody can tell which."""

    start: float
    end: float
    states: tuple[ActivityState, ...]


def segments(timeline: Sequence[Moment], ends: float) -> list[Segment]:
    """The timeline by states: what was said at no time at all is left out."""
    found: list[Segment] = []
    for moment, following in zip(timeline, [*timeline[1:], None], strict=True):
        end = ends if following is None else following.at
        if end - moment.at < 1e-9:
            continue
        if found and found[-1].state == moment.state:
            found[-1] = Segment(found[-1].start, end, moment.state, found[-1].rule)
        else:
            evidence = moment.evidence[0] if moment.evidence else None
            rule = "" if evidence is None else f"{evidence.source}:{evidence.rule}"
            found.append(Segment(moment.at, end, moment.state, rule))
    return found


def spans(states: Sequence[StateSpan], ends: float) -> list[Span]:
    """The truth's spans with their ends, neighbours with the same states as one."""
    found: list[Span] = []
    for span, following in zip(states, [*states[1:], None], strict=True):
        end = ends if following is None else following.since
        if found and found[-1].states == span.states:
            found[-1] = Span(found[-1].start, end, span.states)
        else:
            found.append(Span(span.since, end, span.states))
    return found


def within(said: Sequence[Segment], start: float, end: float) -> Iterator[Segment]:
    """What was said between `start` and `end`."""
    for segment in said:
        low, high = max(segment.start, start), min(segment.end, end)
        if low < high:
            yield Segment(low, high, segment.state, segment.rule)


def held(said: Sequence[Segment], span: Span) -> bool:
    """Whether one of the span's states had been said before it was true."""
    return any(one.start < span.start < one.end and one.state in span.states for one in said)
