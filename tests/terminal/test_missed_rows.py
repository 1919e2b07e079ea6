"""What an agent never drew, from its own words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.terminal.missed_rows import bare, missed_lines

WORDS = "\n".join(f"paragraph {n} of a long answer" for n in range(1, 61))


def test_the_lines_above_the_rows_that_were_drawn_are_found() -> None:
    rows = [f"paragraph {n} of a long answer" for n in range(47, 61)]
    assert missed_lines(WORDS, "please", "longanswerplease", rows) == WORDS.split("\n")[:46]


def test_only_what_was_not_told_is_found() -> None:
    rows = [f"paragraph {n} of a long answer" for n in range(30, 44)]
    told = "please" + "".join(f"paragraph{n}ofalonganswer" for n in range(1, 15))
    assert missed_lines(WORDS, "please", told, rows) == WORDS.split("\n")[14:29]


def test_what_was_told_before_the_prompt_does_not_count() -> None:
    told = "".join(f"paragraph{n}ofalonganswer" for n in range(1, 61)) + "again"
    rows = ["paragraph 3 of a long answer", "paragraph 4 of a long answer"]
    assert missed_lines(WORDS, "again", told, rows) == WORDS.split("\n")[:2]


def test_nothing_is_missed_where_rows_go_on_from_what_was_told() -> None:
    told = "".join(f"paragraph{n}ofalonganswer" for n in range(1, 15))
    assert missed_lines(WORDS, "please", told, ["paragraph 15 of a long answer", "paragraph 16 of a long answer"]) == []


def test_markup_is_no_difference_and_stays_in_what_is_told() -> None:
    words = "# Title here\n\n- **one** bold item\n- two `code` items\n\nthe end of it"
    missed = missed_lines(words, "asked", "", ["the end of it"])
    assert missed == ["# Title here", "", "- **one** bold item", "- two `code` items"]


def test_a_row_that_is_the_middle_of_a_wrapped_line_gives_the_beginning_of_it() -> None:
    words = "first line\na long paragraph that was wrapped by the screen into rows"
    assert missed_lines(words, "asked", "prompt", ["wrapped by the screen", "into rows"]) == [
        "first line", "a long paragraph that was",
    ]  # fmt: skip


def test_the_rest_of_a_line_whose_beginning_was_told() -> None:
    words = "a long paragraph that was wrapped\nsecond of them\nthird of them"
    assert missed_lines(words, "asked", "alongparagraph", ["third of them"]) == ["that was wrapped", "second of them"]


@pytest.mark.parametrize(
    ("words", "told", "rows"),
    [
        ("", "told before", ["a row of it"]),
        ("other words", "told before", ["a row of it"]),
        ("same line\nsame line\nsame line", "", ["same line"]),  # which of the three is it?
        ("first line\nlast line", "first line and then something else", ["last line"]),
        ("first\nlast", "", ["a", "b", "-"]),
        ("one of them\ntwo of them", "", []),
    ],
)  # fmt: skip
def test_nothing_is_told_that_is_not_sure(words: str, told: str, rows: list[str]) -> None:
    assert not missed_lines(words, "asked", told, rows)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("ab 1*", max_size=12), max_size=12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 5))
def test_told_missed_and_drawn_are_the_words_once(lines: list[str], told: int, drawn: int, rows: int) -> None:
    told, drawn = min(told, len(lines)), min(max(told, drawn), len(lines))
    missed = missed_lines("\n".join(lines), "?", bare("".join(lines[:told])), lines[drawn : drawn + rows])
    if missed:
        assert bare("".join(missed)) == bare("".join(lines[told:drawn]))
