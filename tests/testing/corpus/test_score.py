"""Scores by hand: what counts as right, late, flicker, missing, doubled, noise."""

from collections.abc import Sequence

import pytest

from meshd_core.testing.corpus.replay import Emitted, Moment, Replay
from meshd_core.testing.corpus.score import DRAWING_S, Score, score
from meshd_core.testing.corpus.truth import PromptTruth, StateSpan, Truth
from meshd_core.types import ActivityState, Dialog, DialogOption

IDLE, BUSY, NOBODY_KNOWS = ("idle",), ("busy",), ()
Said = Sequence[tuple[float, ActivityState]]


def _truth(
    *spans: tuple[float, tuple[ActivityState, ...]], lines: tuple[str, ...] = (), prompts: tuple[PromptTruth, ...] = ()
) -> Truth:
    return Truth(
        cli="demo", version="1", scenario="made-up", columns=80, rows=24, recorded_at="", prompts=prompts, lines=lines,
        channel=(), ends=10.0, states=tuple(StateSpan(since, states) for since, states in spans),
    )  # fmt: skip


def _scored(truth: Truth, said: Said, *lines: tuple[float, str], shown: tuple[float | None, ...] = ()) -> Score:
    moments = tuple(Moment(at, state) for at, state in said or [(0.0, "idle")])
    shown = shown or (None,) * len(truth.lines)
    return score(truth, Replay(moments, tuple(Emitted(at, text) for at, text in lines), shown))


def _prompt(text: str, reply: str, last_byte: float) -> PromptTruth:
    return PromptTruth(text, 1.0, (text,), 1.5, 2.0, last_byte, reply)


TURN = _truth((0.0, NOBODY_KNOWS), (1.0, IDLE), (2.0, BUSY), (6.0, IDLE))


def test_a_change_that_is_followed_soon_is_right_and_has_a_delay() -> None:
    states = _scored(TURN, [(0.0, "unknown"), (0.5, "idle"), (2.1, "busy"), (6.4, "idle")]).states
    assert states.delays == pytest.approx((0.0, 0.1, 0.4))
    assert states.accuracy == 1.0
    assert states.judged == pytest.approx(8.5)
    assert states.flickers == 0


def test_a_change_that_is_followed_late_is_wrong_from_its_beginning() -> None:
    found = _scored(TURN, [(0.0, "idle"), (2.1, "busy"), (6.8, "idle")])
    assert found.states.judged - found.states.right == pytest.approx(0.8)
    assert found.states.delays[-1] == pytest.approx(0.8)
    (failure,) = found.failures
    assert (failure.what, failure.at, failure.expected, failure.got) == ("state", 6.0, "idle", "busy")


def test_a_state_that_was_never_true_is_wrong_within_the_grace_too_and_flickers() -> None:
    found = _scored(TURN, [(0.0, "idle"), (2.0, "waiting"), (2.1, "busy"), (6.0, "idle")])
    assert found.states.flickers == 1
    assert {failure.what for failure in found.failures} == {"state", "flicker"}
    found = _scored(TURN, [(0.0, "idle"), (2.0, "busy"), (4.0, "unknown"), (4.2, "busy"), (6.0, "idle")])
    assert (found.states.flickers, found.states.unknown) == (1, pytest.approx(0.2))


def test_where_nobody_can_tell_anything_may_be_said() -> None:
    found = _scored(TURN, [(0.0, "busy"), (0.1, "waiting"), (0.2, "idle"), (2.0, "busy"), (6.0, "idle")])
    assert found.failures == ()


def test_a_turn_too_short_to_be_seen_is_no_failure() -> None:
    short = _truth((0.0, IDLE), (2.0, BUSY), (2.1, IDLE))
    assert _scored(short, [(0.0, "idle")]).failures == ()
    assert _scored(short, [(0.0, "idle"), (2.05, "busy"), (2.2, "idle")]).failures == ()


def test_an_agent_is_busy_until_its_answer_is_drawn() -> None:
    truth = _truth(*((s.since, s.states) for s in TURN.states), lines=("an answer",),
                   prompts=(_prompt("a question", "an answer", 6.0),))  # fmt: skip
    said: Said = [(0.0, "idle"), (2.0, "busy"), (7.5, "idle")]
    assert [failure.what for failure in _scored(truth, said, (7.6, "an answer"), shown=(7.2,)).failures] == []
    assert [failure.what for failure in _scored(truth, said, (7.6, "an answer"), shown=(6.2,)).failures] == ["state"]


def test_an_answer_that_is_not_drawn_at_all_excuses_an_agent_for_a_moment_only() -> None:
    truth = _truth(*((s.since, s.states) for s in TURN.states), prompts=(_prompt("a question", "an answer", 6.0),))
    said: Said = [(0.0, "idle"), (2.0, "busy")]
    (failure,) = _scored(truth, said).failures
    assert (failure.what, failure.at, failure.got) == ("state", 6.0 + DRAWING_S, "busy")


def test_an_approval_is_seen_with_options_and_its_exact_command() -> None:
    truth = _truth((0.0, BUSY), (2.0, ("waiting",)), prompts=(_prompt("TOOL rm x", "", 2.0),))
    options = (DialogOption("accept", "Yes"),)
    for command, commands in (("rm x", 1), ("rm y", 0), (None, 0)):
        dialog = Dialog("d1", "approval", "May I?", "", command, options)
        replay = Replay((Moment(0.0, "busy"), Moment(2.3, "waiting", (), dialog)), (), ())
        approvals = score(truth, replay).approvals
        assert (approvals.asked, approvals.options, approvals.commands) == (1, 1, commands)
        assert approvals.delays == pytest.approx((0.3,))


def test_lines_are_found_in_order_however_they_are_wrapped_and_marked() -> None:
    truth = _truth((0.0, IDLE), lines=("one two three", "four"), prompts=(_prompt("ask", "one two three\nfour", 2.0),))
    found = _scored(truth, [], (1.0, "> ask"), (3.0, "● one two"), (3.5, "  three"), (4.0, "  four"), shown=(3.0, 3.9))
    assert found.failures == ()
    assert found.lines.recall == found.lines.precision == 1.0
    assert found.lines.delays == pytest.approx((0.5, 0.1))


def test_lines_that_are_missing_doubled_or_nobodys() -> None:
    truth = _truth((0.0, IDLE), lines=("alpha", "beta"), prompts=(_prompt("ask", "alpha\nbeta", 2.0),))
    found = _scored(truth, [], (3.0, "● alpha"), (3.1, "Tip: be brave"), (3.2, "● alpha"), (3.3, "────"))
    assert [(failure.what, failure.got) for failure in found.failures] == [
        ("line missing", "nothing"), ("noise", "Tip: be brave"), ("line doubled", "● alpha"), ("noise", "────"),
    ]  # fmt: skip
    assert (found.lines.recall, found.lines.precision) == (0.5, 0.5)


def test_what_was_typed_is_neither_doubled_nor_found_in_its_echo() -> None:
    truth = _truth((0.0, IDLE), lines=("You said: a", "b"), prompts=(_prompt("a\nb", "You said: a\nb", 2.0),))
    echo = [(1.0, "> a"), (1.0, "  b")]
    assert _scored(truth, [], *echo, (3.0, "You said: a"), (3.0, "b")).failures == ()
    assert _scored(truth, [], *echo, (3.0, "You said: a")).lines.recall == 0.5
