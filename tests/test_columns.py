"""Text in terminal columns."""

import pytest

from meshd_core.columns import left_of, width


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("🎉!", 3)])
def test_how_many_columns_a_text_takes(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "column", "left"),
    [("abcdef", 4, "abcd"), ("ab", 4, "ab"), ("日本語", 4, "日本"), ("日本語", 3, "日"), ("e\u0301f", 1, "e\u0301")],
)
def test_what_stands_left_of_a_column(text: str, column: int, left: str) -> None:
    assert left_of(text, column) == left
