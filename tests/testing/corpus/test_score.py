"""Scores by hand: what counts as right, late, flicker, missing, doubled, noise."""

from collections.abc import Sequence

import pytest

from meshd_core.testing.corpus.floors import shortfalls, summary
from meshd_core.testing.corpus.phases import DRAWING_S
from meshd_core.testing.corpus.replay import Emitted, Moment, Replay
from meshd_core.testing.corpus.score import Score, score
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


def _lines(scored: Score) -> tuple[float | None, float | None]:
    total = summary([scored])
    return total.recall, total.precision


TURN = _truth((0.0, NOBODY_KNOWS), (1.0, IDLE), (2.0, BUSY), (6.0, IDLE))


def test_a_change_that_is_followed_soon_is_right_and_has_a_delay() -> None:
    states = _scored(TURN, [(0.0, "unknown"), (0.5, "idle"), (2.1, "busy"), (6.4, "idle")]).states
    # Idle was said before it was true: that took no time.
    assert [delay.state for delay in states.delays] == ["busy", "idle"]
    assert [delay.seconds for delay in states.delays] == pytest.approx((0.1, 0.4))
    assert states.running.right == states.running.judged == pytest.approx(8.5)
    assert states.starting.right == states.starting.judged == pytest.approx(1.0)
    assert states.flickers == 0


def test_a_change_that_is_followed_late_is_wrong_from_its_beginning() -> None:
    found = _scored(TURN, [(0.0, "idle"), (2.1, "busy"), (6.8, "idle")])
    assert found.states.running.judged - found.states.running.right == pytest.approx(0.8)
    assert found.states.delays[-1].seconds == pytest.approx(0.8)
    (failure,) = found.failures
    assert (failure.what, failure.at, failure.expected, failure.got) == ("state", 6.0, "idle", "busy")


def test_a_state_that_was_never_true_is_wrong_within_the_grace_too_and_flickers() -> None:
    found = _scored(TURN, [(0.0, "idle"), (2.0, "waiting"), (2.1, "busy"), (6.0, "idle")])
    assert found.states.flickers == 1
    assert {failure.what for failure in found.failures} == {"state", "flicker"}
    found = _scored(TURN, [(0.0, "idle"), (2.0, "busy"), (4.0, "unknown"), (4.2, "busy"), (6.0, "idle")])
    assert (found.states.flickers, found.states.running.unknown) == (1, pytest.approx(0.2))


def test_going_back_and_forth_is_wrong_however_soon_it_is_over() -> None:
    back: Said = [(0.0, "idle"), (2.0, "busy"), (6.0, "idle"), (6.1, "busy"), (6.4, "idle")]
    found = _scored(TURN, back)
    assert [(failure.what, failure.at, failure.got) for failure in found.failures] == [("state", 6.1, "busy")]
    assert found.states.running.judged - found.states.running.right == pytest.approx(0.3)


def test_idle_within_a_turn_is_too_early_even_before_the_request_is_there() -> None:
    truth = _truth((0.0, NOBODY_KNOWS), (1.0, IDLE), (2.0, NOBODY_KNOWS), (2.4, BUSY), (6.0, IDLE),
                   prompts=(PromptTruth("hi", 2.0, ("hi",), 2.4, 3.0, 6.0, ""),))  # fmt: skip
    good: Said = [(0.0, "idle"), (2.1, "busy"), (6.0, "idle")]
    assert _scored(truth, good).failures == ()
    for at in (2.2, 2.5, 5.9):
        there_and_back: Said = [*good[:2], (at, "idle"), (at + 0.05, "busy"), good[2]]
        found = _scored(truth, there_and_back)
        assert [failure.what for failure in found.failures] == ["state", "flicker", "idle too early"]
        assert (found.states.early, shortfalls(summary([found]))["early"]) == (1, 1)


def test_before_readiness_only_unknown_and_then_idle_are_right() -> None:
    for said, wrong in (
        ([(0.0, "unknown"), (0.6, "idle")], 0.0),
        ([(0.0, "unknown"), (0.3, "waiting"), (0.6, "idle")], 0.3),
        ([(0.0, "unknown"), (0.2, "idle"), (0.6, "busy"), (0.7, "idle")], 0.1),
        ([(0.0, "unknown"), (0.2, "idle"), (0.6, "unknown"), (0.8, "idle")], 0.2),
    ):
        start = _scored(TURN, [*said, (2.0, "busy"), (6.0, "idle")]).states.starting
        assert start.judged - start.right == pytest.approx(wrong)


def test_a_turn_too_short_to_be_seen_may_be_seen_or_missed() -> None:
    short = _truth((0.0, NOBODY_KNOWS), (1.0, IDLE), (2.0, BUSY), (2.3, IDLE))
    missed, seen = _scored(short, [(0.0, "idle")]), _scored(short, [(0.0, "idle"), (2.05, "busy"), (2.3, "idle")])
    assert missed.failures == seen.failures == ()
    assert missed.states.running.judged == pytest.approx(8.7)
    assert seen.states.running.judged == pytest.approx(8.95)
    assert [delay.state for delay in seen.states.delays] == ["idle"]


def test_idle_after_the_last_byte_is_the_first_that_stays_however_long_the_answer_is_drawn() -> None:
    truth = _truth(*((s.since, s.states) for s in TURN.states), lines=("an answer",),
                   prompts=(_prompt("a question", "an answer", 6.0),))  # fmt: skip
    for said, strict in (
        ([(0.0, "idle"), (2.0, "busy"), (7.5, "idle")], (1.5,)),
        ([(0.0, "idle"), (2.0, "busy"), (6.1, "idle"), (7.0, "busy"), (7.4, "idle")], (1.4,)),
        ([(0.0, "idle"), (2.0, "busy")], (4.0,)),
        ([(0.0, "idle"), (2.0, "busy"), (5.9, "idle")], (None,)),
    ):
        states = _scored(truth, said, (7.6, "an answer"), shown=(7.2,)).states
        assert states.idle_delays == pytest.approx(strict)
    late = _scored(truth, [(0.0, "idle"), (2.0, "busy"), (7.5, "idle")], shown=(7.2,)).states.delays[-1]
    assert (late.state, late.seconds) == ("idle", pytest.approx(0.3))


def test_limited_is_counted_for_a_429_alone() -> None:
    retrying = ("limited", "busy")
    for text, counted in (("ERR429x2 hello", (1, 1, 4.0, 1.5)), ("ERR500 hello", (0, 0, 0.0, 0.0))):
        truth = _truth((0.0, IDLE), (2.0, retrying), (6.0, IDLE), prompts=(_prompt(text, "", 6.0),))
        one = _scored(truth, [(0.0, "idle"), (2.0, "busy"), (4.5, "limited"), (6.0, "idle")]).states.limited
        assert (one.waits, one.said, one.wait_s, one.said_s) == counted


def test_where_nothing_is_judged_nothing_is_told() -> None:
    total = summary([_scored(_truth((0.0, NOBODY_KNOWS)), [(0.0, "unknown")])])
    assert total.accuracy is total.precision is total.recall is total.delays.p95 is None
    assert (total.judged, total.start) == (1.0, 1.0)
    assert shortfalls(total) == {}


def test_an_agent_is_busy_until_its_answer_is_drawn() -> None:
    truth = _truth(*((s.since, s.states) for s in TURN.states), lines=("an answer",),
                   prompts=(_prompt("a question", "an answer", 6.0),))  # fmt: skip
    said: Said = [(0.0, "idle"), (2.0, "busy"), (7.5, "idle")]
    assert [failure.what for failure in _scored(truth, said, (7.6, "an answer"), shown=(7.2,)).failures] == []
    assert [failure.what for failure in _scored(truth, said, (7.6, "an answer"), shown=(6.2,)).failures] == ["state"]


def test_an_answer_that_is_not_drawn_at_all_excuses_an_agent_for_a_moment_only() -> None:
    truth = _truth(*((s.since, s.states) for s in TURN.states), prompts=(_prompt("a question", "an answer", 6.0),))
    said: Said = [(0.0, "idle"), (2.0, "busy")]
    (failure,) = _scored(truth, said, (9.0, "an answer")).failures
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
    assert _lines(found) == (1.0, 1.0)
    assert found.lines.delays == pytest.approx((0.5, 0.1))


def test_lines_that_are_missing_doubled_or_nobodys() -> None:
    truth = _truth((0.0, IDLE), lines=("alpha", "beta"), prompts=(_prompt("ask", "alpha\nbeta", 2.0),))
    found = _scored(truth, [], (3.0, "● alpha"), (3.1, "Tip: be brave"), (3.2, "● alpha"), (3.3, "────"))
    assert [(failure.what, failure.got) for failure in found.failures] == [
        ("line missing", "nothing"), ("noise", "Tip: be brave"), ("line doubled", "● alpha"), ("noise", "────"),
        ("reply not whole", "nothing, or parts"),
    ]  # fmt: skip
    assert _lines(found) == (0.5, 0.5)


def test_what_was_typed_is_neither_doubled_nor_found_in_its_echo() -> None:
    truth = _truth((0.0, IDLE), lines=("You said: a", "b"), prompts=(_prompt("a\nb", "You said: a\nb", 2.0),))
    echo = [(1.0, "> a"), (1.0, "  b")]
    assert _scored(truth, [], *echo, (3.0, "You said: a"), (3.0, "b")).failures == ()
    assert _lines(_scored(truth, [], *echo, (3.0, "You said: a")))[0] == 0.5


def test_a_reply_is_whole_once_or_doubled_however_it_is_wrapped() -> None:
    reply = "words of a reply that is longer than a row"
    truth = _truth((0.0, IDLE), prompts=(_prompt("ask", reply, 2.0), _prompt("and", reply, 4.0)))
    first = [(3.0, "● words of a reply that is"), (3.1, "  longer than a row")]
    second = [(4.0, "● words of"), (4.0, "  a reply that is longer than a row")]
    for lines, missing, doubled in (
        ([*first, *second], 0, 0),
        (first, 1, 0),
        ([*first, *second, *first], 0, 1),
        ([*first, first[0], *second], 0, 1),
        ([*first, second[0]], 1, 0),
    ):
        replies = _scored(truth, [], *lines).replies
        assert (replies.said, len(replies.missing), len(replies.doubled)) == (2, missing, doubled)


def test_a_reply_that_was_echoed_is_expected_once_more_and_a_cut_one_not_at_all() -> None:
    truth = _truth((0.0, IDLE), prompts=(_prompt("say kiwi", "kiwi", 2.0), _prompt("SLOW1", "word1 word2", 3.0)))
    replies = _scored(truth, [], (1.0, "> say kiwi"), (2.1, "● kiwi"), (3.0, "word1 word2")).replies
    assert (replies.said, replies.missing, replies.doubled) == (1, (), ())
    assert _scored(truth, [], (1.0, "> say kiwi"), (3.0, "word1 word2")).replies.missing == ("kiwi",)
