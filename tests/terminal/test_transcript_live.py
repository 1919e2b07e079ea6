"""Which rows of a screen can become lines."""

import pytest

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.transcript_live import RowRules


@pytest.mark.parametrize("row", ["  ⠀⣀⣤⣶⣿⣿⣶⣤⣀", " █▀▄  ▀█▀", "▄▄▄▄▄▄▄▄▄▄▄▄", "⠋"])
def test_a_row_of_ornaments_alone_is_no_line_of_an_agent(row: str) -> None:
    assert RowRules(TranscriptRules(echo=("^› ",))).judged(row) is None
    plain = RowRules(TranscriptRules()).judged(row)
    assert plain is not None  # of a program that nothing is known of
    assert plain.text == row


@pytest.mark.parametrize("row", ["", "│ a │ b │", "├───┼───┤", "████████ 40 %", "---", "```", "}"])
def test_rows_with_anything_else_are(row: str) -> None:
    judged = RowRules(TranscriptRules(echo=("^› ",))).judged(row)
    assert judged is not None
    assert judged.text == row
