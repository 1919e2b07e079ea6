"""Times that facts leave open: which states are right then, in which order, and what bounds them."""

import pytest

from meshd_core.testing.corpus.landmarks import Landmarks
from meshd_core.testing.corpus.phases import phases
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.truth import PromptTruth, StateSpan, Truth

Spans = tuple[tuple[float, tuple[str, ...]], ...]
OPEN, IDLE, BUSY, WAITING, TRUST = (), ("idle",), ("busy",), ("waiting",), ("onboarding",)
RETRYING = ("limited", "busy")
NOTHING = Landmarks()
START: Spans = ((0.0, OPEN), (1.0, IDLE))


def _found(states: Spans, marks: Landmarks, *prompts: PromptTruth) -> list[tuple[object, float, float]]:
    truth = Truth(
        cli="demo", version="1", scenario="made-up", columns=80, rows=24, recorded_at="", prompts=prompts, lines=(),
        channel=(), ends=10.0, states=tuple(StateSpan(since, names) for since, names in states),  # type: ignore[arg-type]
    )  # fmt: skip
    replay = Replay((), (), (), (None,) * len(prompts), marks)
    return [("/".join(one.states), one.start, one.end) for one in phases(truth, replay)]


def _prompt(entered: float, requested: float | None, last_byte: float | None) -> PromptTruth:
    return PromptTruth("hi", entered, ("hi",), requested, requested, last_byte, "")


@pytest.mark.parametrize(
    ("states", "marks", "expected"),
    [
        (START, Landmarks(box=(0.4,)), [("unknown", 0, 1), ("idle", 0.4, 10)]),
        (START, Landmarks(box=(4.0,)), [("unknown", 0, 1), ("idle", 1, 10)]),
        (START, NOTHING, [("unknown", 0, 1), ("idle", 0, 10)]),
        (
            ((0.0, OPEN), (1.0, TRUST), (2.0, OPEN), (5.0, IDLE)),
            Landmarks(asked=(1.0,), passed=(0.1, 2.3), box=(4.0,)),
            [("unknown", 0, 1), ("onboarding", 0, 2.3), ("unknown", 2, 5), ("idle", 4, 10)],
        ),
        (
            ((0.0, OPEN), (1.0, TRUST), (2.0, OPEN)),
            Landmarks(asked=(1.0, 2.4), passed=(0.1, 2.3)),
            [("unknown", 0, 1), ("onboarding", 0, 10), ("unknown", 2, 10)],
        ),
        (
            (*START, (3.0, OPEN), (4.0, BUSY), (6.0, IDLE)),
            NOTHING,
            [("unknown", 0, 1), ("idle", 0, 4), ("busy", 3, 6), ("idle", 6, 10)],
        ),
        (
            ((0.0, BUSY), (2.0, OPEN), (3.0, WAITING), (4.0, OPEN), (7.0, BUSY)),
            NOTHING,
            [("busy", 0, 3), ("waiting", 2, 5), ("busy", 4, 10)],
        ),
        (
            ((0.0, WAITING), (4.0, OPEN), (5.0, IDLE)),
            Landmarks(stopped=(4.3,)),
            [("waiting", 0, 4.3), ("busy", 4, 4.3), ("idle", 4, 10)],
        ),
        (
            ((0.0, BUSY), (4.0, OPEN), (5.0, IDLE)),
            Landmarks(interrupts=(4.0,), stopped=(4.3,)),
            [("busy", 0, 4.3), ("busy", 4, 4.3), ("idle", 4, 10)],
        ),
        (
            ((0.0, RETRYING), (3.0, OPEN), (5.0, IDLE)),
            Landmarks(interrupts=(4.0,)),
            [("limited/busy", 0, 5), ("busy", 3, 5), ("idle", 3, 10)],
        ),
        (((0.0, BUSY), (4.0, OPEN), (5.0, BUSY)), NOTHING, [("busy", 0, 5), ("idle", 4, 5), ("busy", 4, 10)]),
        (((0.0, IDLE), (4.0, OPEN)), Landmarks(leaves=(4.0,)), [("idle", 0, 10), ("unknown", 4, 10)]),
    ],
)
def test_a_border_that_took_time(states: Spans, marks: Landmarks, expected: list[tuple[str, float, float]]) -> None:
    assert _found(states, marks) == expected


def test_a_turn_that_was_too_short_to_have_a_span() -> None:
    question: Spans = ((0.0, IDLE), (2.0, OPEN), (3.5, WAITING))
    assert _found(question, NOTHING, _prompt(2.0, 3.0, None)) == [
        ("idle", 0, 3.0), ("busy", 2.0, 3.5), ("waiting", 3.0, 10),
    ]  # fmt: skip
    refusal: Spans = ((0.0, IDLE), (2.0, OPEN), (3.0, IDLE))
    assert _found(refusal, NOTHING, _prompt(2.0, 3.0, 3.0)) == [
        ("idle", 0, 3.0), ("busy", 2.0, 3.0), ("idle", 3.0, 10),
    ]  # fmt: skip


def test_a_prompt_that_never_arrived_is_work_or_not() -> None:
    never: Spans = ((0.0, IDLE), (2.0, OPEN))
    assert _found(never, NOTHING, _prompt(2.0, None, None)) == [("idle", 0, 10), ("busy", 2, 10), ("idle", 2, 10)]
