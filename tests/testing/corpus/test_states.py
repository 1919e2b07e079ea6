"""What was acceptable when, from what the script did and what the backend saw."""

from meshd_core.testing.corpus.facts import Exchange, Facts, Question, Screen, Typed
from meshd_core.testing.corpus.states import states
from meshd_core.testing.corpus.turns import model_lines, turns


def answered(arrived: float, last: float, prompt: str = "hi", text: str = "fine", tool: str | None = None) -> Exchange:
    return Exchange(arrived, prompt, (), False, 200, arrived + 0.1, last, True, text, tool)


def refused(arrived: float, status: int = 429) -> Exchange:
    return Exchange(arrived, "hi", (), False, status, arrived + 0.1, arrived + 0.1, True)


def spans(facts: Facts, *exchanges: Exchange) -> list[tuple[float, tuple[str, ...]]]:
    return [(span.since, span.states) for span in states(facts, exchanges)]


TYPED = Facts(ready=[1.0], typed=[Typed("hi", 2.0)])


def test_a_turn() -> None:
    assert spans(TYPED, answered(2.2, 3.0)) == [
        (0.0, ()), (1.0, ("idle",)), (2.0, ()), (2.2, ("busy",)), (3.0, ("idle",)),
    ]  # fmt: skip


def test_a_prompt_that_never_arrives_leaves_nothing_known() -> None:
    assert spans(TYPED) == [(0.0, ()), (1.0, ("idle",)), (2.0, ())]


def test_a_screen_before_readiness() -> None:
    facts = Facts(screens=[Screen(0.5, 2.0)], ready=[3.0])
    assert spans(facts) == [(0.0, ()), (0.5, ("onboarding",)), (2.0, ()), (3.0, ("idle",))]


def test_a_question() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0)], questions=[Question(3.4, 5.0)])
    result = Exchange(5.5, "", ("hi",), True, 200, 5.6, 6.0, True, "done")
    assert spans(facts, answered(2.2, 3.0, tool="bash"), result)[3:] == [
        (2.2, ("busy",)), (3.0, ()), (3.4, ("waiting",)), (5.0, ()), (5.5, ("busy",)), (6.0, ("idle",)),
    ]  # fmt: skip


def test_a_question_that_is_drawn_late_or_denied() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0)], questions=[Question(9.0, 10.0, denied=True)])
    assert spans(facts, answered(2.2, 3.0, tool="bash"))[4:] == [
        (3.0, ()), (4.5, ("waiting",)), (10.0, ()), (11.0, ("idle",)),
    ]  # fmt: skip


def test_a_tool_that_runs_unasked_is_work() -> None:
    result = Exchange(4.0, "", ("hi",), True, 200, 4.1, 5.0, True, "done")
    assert spans(TYPED, answered(2.2, 3.0, tool="bash"), result)[3:] == [(2.2, ("busy",)), (5.0, ("idle",))]


def test_a_queued_prompt_changes_nothing_until_it_goes() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0), Typed("next", 2.5)])
    assert spans(facts, answered(2.2, 3.0), answered(3.5, 4.0, "next"))[3:] == [
        (2.2, ("busy",)), (3.0, ()), (3.5, ("busy",)), (4.0, ("idle",)),
    ]  # fmt: skip


def test_an_interrupt_ends_what_the_backend_still_sends() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0)], interrupts=[4.0])
    assert spans(facts, answered(2.2, 9.0))[3:] == [(2.2, ("busy",)), (4.0, ()), (5.0, ("idle",))]


def test_an_answer_that_the_agent_hangs_up_on_is_not_the_end() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0), Typed("next", 3.01)])
    cut = Exchange(2.2, "hi", (), False, 200, 2.3, 3.0, False, "half")
    assert spans(facts, cut, answered(3.1, 4.0, "next"))[3:] == [
        (2.2, ("busy",)), (3.0, ()), (3.1, ("busy",)), (4.0, ("idle",)),
    ]  # fmt: skip


def test_refusals_while_it_tries_again_and_when_it_gives_up() -> None:
    assert spans(TYPED, refused(2.2), refused(3.0), answered(5.0, 6.0))[3:] == [
        (2.2, ("busy",)), (2.3, ("limited", "busy")), (5.1, ("busy",)), (6.0, ("idle",)),
    ]  # fmt: skip
    assert spans(TYPED, refused(2.2, 500), refused(3.0, 500))[4:] == [(2.3, ("limited", "busy")), (3.1, ("idle",))]
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0)], interrupts=[4.0])
    assert spans(facts, refused(2.2), refused(3.0))[4:] == [(2.3, ("limited", "busy")), (3.1, ()), (5.0, ("idle",))]


def test_spans_of_less_than_a_millisecond_are_none() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0), Typed("next", 2.5)])
    assert spans(facts, answered(2.2, 3.0001), answered(3.0004, 4.0, "next"))[3:] == [
        (2.2, ("busy",)),
        (4.0, ("idle",)),
    ]


def test_nothing_is_known_of_one_that_leaves() -> None:
    facts = Facts(ready=[1.0], typed=[Typed("hi", 2.0)], leaving=4.0)
    assert spans(facts, answered(2.2, 9.0))[3:] == [(2.2, ("busy",)), (4.0, ())]


def test_queued_prompts_may_come_in_one_request() -> None:
    typed = [Typed("first", 1.0), Typed("second one", 2.0), Typed("third", 3.0)]
    merged = Exchange(5.0, "third", ("first", "second one"), False, 200, 5.1, 6.0, True, "fine")
    first, second, third = turns(Facts(typed=typed), [answered(1.1, 4.0, "first", "one"), merged])
    assert (first.received, first.requested, first.reply) == (("first",), 1.1, "one")
    assert (second.received, second.requested, second.reply) == (("second one",), 5.0, "fine")
    assert (third.received, third.last_byte) == (("third",), 6.0)


def test_a_prompt_that_came_otherwise_than_typed_says_how() -> None:
    (prompt,) = turns(Facts(typed=[Typed("hi @file", 1.0)]), [answered(1.1, 2.0, "hi <file>")])
    assert prompt.received == ("hi <file>",)


def test_lines_are_those_that_look_the_same_everywhere() -> None:
    text = "# A title\n\nplain\n- item\n**bold**\n`code`\n" + "x" * 200 + "\n  indented\n<b>\nlast"
    assert model_lines([answered(1.0, 2.0, text=text)], (), 120) == ("plain", "indented", "last")
    assert model_lines([answered(1.0, 2.0, text="cut")], (1.5,), 120) == ()
