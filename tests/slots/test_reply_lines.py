"""An answer out of the lines since Enter: without the prompt's echo, and without the turn before."""

import pytest

from meshd_core.slots.reply_lines import answered, without_echo

ECHO = (r"^> ",)
LONG = "one two three four five"


@pytest.mark.parametrize(
    ("lines", "prompt", "reply"),
    [
        (["> hello", "an answer"], "hello", "an answer"),
        (["> one two three", "  four five", "an answer", "in two rows"], LONG, "an answer\nin two rows"),
        (["the end of the turn before", "", "> hello", "an answer"], "hello", "an answer"),
        (["the end of the turn before", "> one two three", "  four five", "an answer"], LONG, "an answer"),
        (["the end of the turn before", "> hello"], "hello", ""),
        (["an answer without an echo"], "hello", "an answer without an echo"),
        (["> hello", "> hello, it says", "an answer"], "hello", "an answer"),
    ],
)
def test_the_reply_begins_behind_the_echo(lines: list[str], prompt: str, reply: str) -> None:
    assert without_echo(lines, prompt, ECHO) == reply


def test_rows_of_the_turn_before_prove_nothing() -> None:
    assert answered(["> hello", "an answer"], "hello", ECHO)
    assert not answered(["an answer of before", "> hello"], "hello", ECHO)
    assert not answered(["an answer of before", "> hello", "an answer"], "hello", ECHO)
