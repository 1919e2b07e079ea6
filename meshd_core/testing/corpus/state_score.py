"""Scores of the states that were said."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from meshd_core.testing.corpus.delays import Delay, changes, until_idle_stays
from meshd_core.testing.corpus.failures import Failure
from meshd_core.testing.corpus.following import GRACE_S, Judged, followed
from meshd_core.testing.corpus.phases import phases, starts
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.spans import Segment, Span, segments, spans, within
from meshd_core.testing.corpus.truth import Truth
from meshd_core.testing.model_plan import SHELL_TOOLS, plan_answer

FLICKER_S = 0.25
_NEGLIGIBLE_S = 0.001


class Limited(Struct, frozen=True):
    """Waits after a 429: how many, in how many of them `limited` was said; seconds of all, and of its being said."""

    waits: int = 0
    said: int = 0
    wait_s: float = 0.0
    said_s: float = 0.0


class Share(Struct, frozen=True):
    """Seconds that were judged, and those of them in which the right state was said; `unknown` and `stuck` where that
    was not right.
    """

    judged: float = 0.0
    right: float = 0.0
    unknown: float = 0.0
    stuck: float = 0.0


class StateScore(Struct, frozen=True):
    """`running` and `starting`: the seconds from each readiness on, and those before, which are not in it. What is
    missing of `length` was late.
    """

    length: float
    running: Share
    starting: Share
    flickers: int
    early: int
    """How often `idle` came to be said between a prompt's Enter and the last byte of its turn."""
    delays: tuple[Delay, ...]
    idle_delays: tuple[float | None, ...]
    """From the last byte of each turn until `idle` stays, with no excuse for drawing; None: it was said before."""
    limited: Limited


def score_states(truth: Truth, replay: Replay, failures: list[Failure]) -> StateScore:
    """Score the states of one replay; what was wrong is added to `failures`."""
    said = segments(replay.timeline, truth.ends)
    true = phases(truth, replay)
    judged = followed(true, said)
    before = starts(truth)
    starting = [any(span.start <= one.start < span.end for span in before) for one in judged]
    failures += _wrong(judged, said)
    flickers, early = list(_flickers(judged, said)), list(_early(judged, said, truth))
    failures += [*flickers, *early]
    spans_seen = _long_enough(truth)
    return StateScore(
        truth.ends,
        _share([one for one, start in zip(judged, starting, strict=True) if not start]),
        _share([one for one, start in zip(judged, starting, strict=True) if start]),
        len(flickers), len(early), tuple(changes(true, said)), tuple(until_idle_stays(truth, spans_seen, said)),
        _limited(truth, spans_seen, said),
    )  # fmt: skip


def _wrong(judged: Sequence[Judged], said: Sequence[Segment]) -> Iterator[Failure]:
    """Each time that was wrong, pieces of it that follow one another as one."""
    for (verdict, segment, expected), group in groupby(judged, lambda one: (one.verdict, one.segment, one.expected)):
        pieces = list(group)
        if verdict == "wrong" and pieces[-1].end - pieces[0].start > _NEGLIGIBLE_S:
            yield Failure("state", pieces[0].start, "/".join(expected), pieces[0].state, said[segment].rule)


def _share(judged: Sequence[Judged]) -> Share:
    def seconds(of: Sequence[Judged]) -> float:
        return sum(one.end - one.start for one in of)

    right = seconds([one for one in judged if one.verdict == "right"])
    wrong = [one for one in judged if one.verdict == "wrong"]
    unknown, stuck = (seconds([one for one in wrong if one.state == state]) for state in ("unknown", "stuck"))
    return Share(right + seconds(wrong), right, unknown, stuck)


def _begun(judged: Sequence[Judged]) -> Iterator[Judged]:
    """The first piece of each segment, but for the first segment."""
    segment = 0
    for one in judged:
        if one.segment != segment:
            yield one
        segment = one.segment


def _flickers(judged: Sequence[Judged], said: Sequence[Segment]) -> Iterator[Failure]:
    """States that were said for less than FLICKER_S, and that were wrong as soon as they were said."""
    for one in _begun(judged):
        segment = said[one.segment]
        if one.verdict == "wrong" and one.segment < len(said) - 1 and segment.end - segment.start < FLICKER_S:
            yield Failure("flicker", one.start, "/".join(one.expected), one.state, segment.rule)


def _early(judged: Sequence[Judged], said: Sequence[Segment], truth: Truth) -> Iterator[Failure]:
    """Each time that `idle` came to be said within a turn, however soon it was taken back."""
    turns = [(one.entered, one.last_byte) for one in truth.prompts if one.last_byte is not None]
    for one in _begun(judged):
        if one.state == "idle" and one.verdict == "wrong" and any(start <= one.start < end for start, end in turns):
            yield Failure("idle too early", one.start, "/".join(one.expected), one.state, said[one.segment].rule)


def _long_enough(truth: Truth) -> list[Span]:
    """The truth's spans; what was over before anyone has to have said it has no state."""
    found = spans(truth.states, truth.ends)
    return [Span(one.start, one.end, one.states if one.end - one.start > GRACE_S else ()) for one in found]


def _limited(truth: Truth, spans_seen: Sequence[Span], said: Sequence[Segment]) -> Limited:
    """How the tries after a 429 were told. All tries of one prompt are one wait: the truth does not tell them apart."""
    if not any(plan_answer(prompt.text, SHELL_TOOLS, None).status == 429 for prompt in truth.prompts):
        return Limited()
    waits = [
        sum(piece.end - piece.start for piece in within(said, span.start, span.end) if piece.state == "limited")
        for span in spans_seen
        if "limited" in span.states
    ]
    wait_s = sum(span.end - span.start for span in spans_seen if "limited" in span.states)
    return Limited(len(waits), sum(said_s > 0 for said_s in waits), wait_s, sum(waits))
