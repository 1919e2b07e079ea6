"""Scores of approvals: was each question that an agent asked told with its options and its exact command, and once?"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.failures import Failure
from meshd_core.testing.corpus.replay import Moment
from meshd_core.testing.corpus.spans import Span, spans
from meshd_core.testing.corpus.truth import Truth


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


def score_approvals(truth: Truth, timeline: Sequence[Moment], failures: list[Failure]) -> ApprovalScore:
    """Score the approvals of one replay; what was wrong is added to `failures`."""
    seen = options = commands = dialogs = 0
    delays: list[float] = []
    asked = [span for span in spans(truth.states, truth.ends) if span.states == ("waiting",)]
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


def _waited(timeline: Sequence[Moment], span: Span) -> Iterator[Moment]:
    """What was said of a question: from when `waiting` was said, which may be before `span`, until its end."""
    run: list[Moment] = []
    for moment in timeline:
        if moment.at >= span.end:
            break
        run = [*run, moment] if moment.state == "waiting" else run if moment.at > span.start else []
    yield from run
