"""Scores of a replay against the truth: states and approvals. Every failure is kept, with the rule that was to blame.

An agent needs a moment to show what it does, and so does the detector. For `GRACE_S` after each change of truth the
state of before counts as well: how long it took is the delay, which is scored by itself.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.lines import LineScore, score_lines
from meshd_core.testing.corpus.replay import Moment, Replay, compact
from meshd_core.testing.corpus.truth import StateSpan, Truth
from meshd_core.types import ActivityState

GRACE_S = 0.5
FLICKER_S = 0.25
DRAWING_S = 3.0
"""An agent has to have drawn its answer so soon after the last byte."""
_NEGLIGIBLE_S = 0.001


class Failure(Struct, frozen=True):
    """One thing that was not as it should be. `rule`: who said what was got."""

    what: str
    at: float
    expected: str
    got: str
    rule: str = ""


class StateScore(Struct, frozen=True):
    """Seconds, but for `flickers`. `judged`: those that have a truth; `right`, `unknown`, `stuck` are parts of it."""

    judged: float
    right: float
    unknown: float
    stuck: float
    flickers: int
    delays: tuple[float, ...]
    """From each change of truth into one state until that state was said, or until the truth changed again."""

    @property
    def accuracy(self) -> float:
        return self.right / self.judged if self.judged else 1.0


class ApprovalScore(Struct, frozen=True):
    """How many approvals the agent asked for, how many were seen, and what was known of them before they ended."""

    asked: int
    seen: int
    options: int
    commands: int
    dialogs: int
    """How many dialogs were told of them; one for each is right."""
    delays: tuple[float, ...]
    """Until the dialog was open with its options."""


class Score(Struct, frozen=True):
    states: StateScore
    approvals: ApprovalScore
    lines: LineScore
    failures: tuple[Failure, ...]


class Segment(Struct, frozen=True):
    """A time in which one state was said, by `rule` at its beginning."""

    start: float
    end: float
    state: ActivityState
    rule: str


class _Span(Struct, frozen=True):
    start: float
    end: float
    states: tuple[ActivityState, ...]


def score(truth: Truth, replay: Replay) -> Score:
    """Score one replay."""
    failures: list[Failure] = []
    states = _score_states(truth, replay, failures)
    approvals = _score_approvals(truth, replay.timeline, failures)
    lines = score_lines(truth, replay)
    failures += [Failure("line missing", at or 0.0, text, "nothing") for at, text in lines.missing]
    failures += [Failure("line doubled", line.at, "once", line.text) for line in lines.doubled]
    failures += [Failure("noise", line.at, "no line", line.text) for line in lines.noise]
    return Score(states, approvals, lines, tuple(sorted(failures, key=lambda failure: failure.at)))


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


def _spans(states: Sequence[StateSpan], ends: float) -> list[_Span]:
    """The truth's spans with their ends, neighbours with the same states as one."""
    found: list[_Span] = []
    for span, following in zip(states, [*states[1:], None], strict=True):
        end = ends if following is None else following.since
        if found and found[-1].states == span.states:
            found[-1] = _Span(found[-1].start, end, span.states)
        else:
            found.append(_Span(span.since, end, span.states))
    return found


def _with_drawing(spans: Sequence[_Span], truth: Truth, replay: Replay) -> list[_Span]:
    """After its answer's last byte an agent is idle, but until it has drawn the answer it may be said to be busy."""
    typed = compact(" ".join(prompt.text for prompt in truth.prompts))
    lines = zip(truth.lines, replay.shown, strict=True)
    times = [*(at for text, at in lines if compact(text) not in typed), *replay.drawn]
    replies = {round(prompt.last_byte, 3): bool(prompt.reply) for prompt in truth.prompts if prompt.last_byte}
    found: list[_Span] = []
    for span in spans:
        latest = min(span.end, span.start + DRAWING_S)
        until = max((at for at in times if at is not None and span.start < at < latest), default=span.start)
        if replies.get(span.start) and not any(at is not None and at < latest for at in times):
            until = latest  # it can't be seen at all
        if span.states == ("idle",) and until > span.start and span.start in replies:
            found += [_Span(span.start, until, ("idle", "busy")), _Span(until, span.end, span.states)]
        else:
            found.append(span)
    return found


def _score_states(truth: Truth, replay: Replay, failures: list[Failure]) -> StateScore:
    spans = _with_drawing(_spans(truth.states, truth.ends), truth, replay)
    said = segments(replay.timeline, truth.ends)
    judged = right = unknown = stuck = 0.0
    delays: list[float] = []
    for span in spans:
        if not span.states:
            continue
        arrived = _arrival(span, spans, said)
        if arrived is None and span.end - span.start <= GRACE_S:
            continue  # over before anyone could have said it
        if len(span.states) == 1:
            first = next(
                (piece.start for piece in _within(said, span.start, span.end) if piece.state in span.states), None
            )
            delay = arrived if arrived is not None else first if first is not None else span.end
            delays.append(delay - span.start)
        for piece in _within(said, span.start if arrived is None else arrived, span.end):
            length = piece.end - piece.start
            judged += length
            unknown += length if piece.state == "unknown" else 0.0
            stuck += length if piece.state == "stuck" else 0.0
            if piece.state in span.states:
                right += length
            elif length > _NEGLIGIBLE_S:
                failures.append(Failure("state", piece.start, "/".join(span.states), piece.state, piece.rule))
    flickers = list(_flickers(spans, said))
    failures += flickers
    return StateScore(judged, right, unknown, stuck, len(flickers), tuple(delays))


def _within(said: Sequence[Segment], start: float, end: float) -> Iterator[Segment]:
    """What was said between `start` and `end`."""
    for segment in said:
        low, high = max(segment.start, start), min(segment.end, end)
        if low < high:
            yield Segment(low, high, segment.state, segment.rule)


def _arrival(span: _Span, spans: Sequence[_Span], said: Sequence[Segment]) -> float | None:
    """When a state of `span` had come to stay; None if not within the grace, or if something else came before it."""
    latest = min(span.start + GRACE_S, span.end)
    pieces = list(_within(said, span.start, latest))
    if not pieces or pieces[-1].state not in span.states:
        return None
    arrived = pieces[-1].start
    while pieces and pieces[-1].state in span.states:
        arrived = pieces.pop().start
    held = {segment.state for segment in said if segment.start < span.start < segment.end}
    before = held | _true_around(spans, span.start - GRACE_S, span.start)
    return arrived if all(piece.state in before or piece.state in span.states for piece in pieces) else None


def _true_around(spans: Sequence[_Span], start: float, end: float) -> set[ActivityState]:
    return {state for span in spans if span.start < end and span.end >= start for state in span.states}


def _flickers(spans: Sequence[_Span], said: Sequence[Segment]) -> Iterator[Failure]:
    """States that were said for less than FLICKER_S, and that were not true then nor just before."""
    for segment in said[1:-1]:
        if segment.end - segment.start >= FLICKER_S:
            continue
        true_now = _true_around(spans, segment.start, segment.end)
        if true_now and segment.state not in true_now | _true_around(spans, segment.start - GRACE_S, segment.end):
            yield Failure("flicker", segment.start, "/".join(sorted(true_now)), segment.state, segment.rule)


def _waited(timeline: Sequence[Moment], span: _Span) -> Iterator[Moment]:
    """What was said of a question: from when `waiting` was said, which may be before `span`, until its end."""
    run: list[Moment] = []
    for moment in timeline:
        if moment.at >= span.end:
            break
        run = [*run, moment] if moment.state == "waiting" else run if moment.at > span.start else []
    yield from run


def _score_approvals(truth: Truth, timeline: Sequence[Moment], failures: list[Failure]) -> ApprovalScore:
    seen = options = commands = dialogs = 0
    delays: list[float] = []
    asked = [span for span in _spans(truth.states, truth.ends) if span.states == ("waiting",)]
    typed = " ".join(prompt.text for prompt in truth.prompts)
    for span in asked:
        shown = [
            moment
            for moment, following in zip(timeline, [*timeline[1:], None], strict=True)
            if moment.dialog is not None and moment.at < span.end and (following is None or following.at > span.start)
        ]
        told = [m for m in shown if m.dialog and m.dialog.options and m.dialog.question]
        known = [m for m in shown if m.dialog and m.dialog.command and m.dialog.command in typed]
        seen += bool(shown)
        dialogs += len({moment.dialog.id for moment in _waited(timeline, span) if moment.dialog is not None})
        options += bool(told)
        commands += bool(known)
        if told:
            delays.append(max(0.0, told[0].at - span.start))
        missing = "" if told else "options"
        missing = missing if known else f"{missing} command".strip()
        if missing:
            last = shown[-1].dialog if shown else None
            got = "no dialog" if last is None else f"{last.question!r}, command {last.command!r}"
            failures.append(Failure("approval", span.start, missing, got))
    return ApprovalScore(len(asked), seen, options, commands, dialogs, tuple(delays))
