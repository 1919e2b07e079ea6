"""Scores of a replay against the truth. Every failure is kept, with the rule that was to blame."""

from msgspec import Struct

from meshd_core.testing.corpus.approvals import ApprovalScore, score_approvals
from meshd_core.testing.corpus.failures import Failure
from meshd_core.testing.corpus.lines import LineScore, score_lines
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.replies import ReplyScore, score_replies
from meshd_core.testing.corpus.state_score import StateScore, score_states
from meshd_core.testing.corpus.truth import Truth


class Score(Struct, frozen=True):
    states: StateScore
    approvals: ApprovalScore
    lines: LineScore
    replies: ReplyScore
    failures: tuple[Failure, ...]


def score(truth: Truth, replay: Replay) -> Score:
    """Score one replay."""
    failures: list[Failure] = []
    states = score_states(truth, replay, failures)
    approvals = score_approvals(truth, replay.timeline, failures)
    lines = score_lines(truth, replay)
    replies = score_replies(truth, replay)
    failures += [Failure("line missing", at or 0.0, text, "nothing") for at, text in lines.missing]
    failures += [Failure("line doubled", line.at, "once", line.text) for line in lines.doubled]
    failures += [Failure("noise", line.at, "no line", line.text) for line in lines.noise]
    failures += [Failure("reply not whole", truth.ends, text, "nothing, or parts") for text in replies.missing]
    failures += [Failure("reply doubled", truth.ends, "once", text) for text in replies.doubled]
    return Score(states, approvals, lines, replies, tuple(sorted(failures, key=lambda failure: failure.at)))
