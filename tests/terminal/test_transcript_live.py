"""Which rows of a screen can become lines."""

import time

import pytest

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript import Transcript
from meshd_core.terminal.transcript_live import RowRules, box_row

EDGE = "─" * 30
AGENT = TranscriptRules(live=("^what a version before drew",))
ALTERNATE, BOX = b"\x1b[?1049h", f"\r\n{EDGE}\r\n> draft\r\n{EDGE}\r\n? for shortcuts".encode()


@pytest.mark.parametrize("row", ["  ⠀⣀⣤⣶⣿⣿⣶⣤⣀", " █▀▄  ▀█▀", "▄▄▄▄▄▄▄▄▄▄▄▄", "⠋", " ▝▜▄   Some CLI v1"])
def test_a_row_of_ornaments_alone_is_no_line_of_an_agent(row: str) -> None:
    assert RowRules(TranscriptRules(echo=("^› ",))).judged(row) is None
    plain = RowRules(TranscriptRules()).judged(row)
    assert plain is not None  # of a program that nothing is known of
    assert plain.text == row


@pytest.mark.parametrize(
    "row",
    [
        "",
        "│ a │ b │",
        "├───┼───┤",
        "████████ 40 %",
        "▌ a quote",
        "┃ a quote",
        "│   └── file",
        "─" * 40,
        "---",
        "```",
        "}",
    ],
)
def test_rows_with_anything_else_are(row: str) -> None:
    judged = RowRules(TranscriptRules(echo=("^› ",))).judged(row)
    assert judged is not None
    assert judged.text == row


@pytest.mark.parametrize("row", ["  ┃", "│"])
def test_a_bar_with_nothing_beside_it_is_an_empty_row(row: str) -> None:
    judged = RowRules(AGENT).judged(row)
    assert judged is not None
    assert not judged.compact


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        (["text", "", EDGE, "❯ draft", "  more|", EDGE, "status"], 2),
        (["text", "", "  ┃", "  ┃ draft|", "  ┃ model", "  ╹" + "▀" * 30, "status"], 2),
        (["text", EDGE, "text", "❯ draft|", "▄" * 30], 1),
        # An edge is missing, or far away.
        (["text", EDGE, "❯ draft|", "status"], None),
        (["text", "❯ draft|", EDGE, "status"], None),
        ([EDGE, "text", "", "❯ draft|", "", EDGE], None),
        (["┃ quoted", "┃ quoted|", "text"], None),
    ],
)
def test_a_box_is_known_by_its_edges(rows: list[str], first: int | None) -> None:
    cursor = next(y for y, row in enumerate(rows) if row.endswith("|"))
    assert box_row(rows, cursor) == first


@pytest.mark.parametrize(
    ("screen", "rules", "lines"),
    [
        (b"said\r\n" + BOX + b"\x1b[2A", AGENT, ["said"]),
        (ALTERNATE + b"said\r\n" + BOX + b"\x1b[2A", AGENT, ["said"]),
        (ALTERNATE + b"said\x1b[9;1H> draft\r\n? for shortcuts\x1b[A", AGENT, ["said"]),
        # Not shown, or wherever it was left, the cursor tells nothing; a program that nothing is known of is all text.
        (ALTERNATE + b"said\r\nmore\x1b[?25l\x1b[9;1H> draft", AGENT, ["said", "more", "", "> draft"]),
        (ALTERNATE + b"said\r\nmore\x1b[H", AGENT, ["said", "more"]),
        (ALTERNATE + b"said\x1b[9;1H$ typed", TranscriptRules(drop=("^x",)), ["said", "", "$ typed"]),
        (ALTERNATE + b"said" + BOX, TranscriptRules(), ["said", EDGE, "> draft", EDGE, "? for shortcuts"]),
    ],
)
def test_what_the_cursor_stands_in_is_no_text(screen: bytes, rules: TranscriptRules, lines: list[str]) -> None:
    assert drawn_lines(rules, screen) == lines


def test_what_the_cursor_stands_in_when_the_agent_ends_is_text() -> None:
    emulator = Emulator(10, 40)
    transcript = Transcript(emulator, AGENT, lambda: 0.0)
    assert transcript.feed(ALTERNATE + b"said\x1b[9;1Hlast words") == []
    assert transcript.flush() == ["said", "", "last words"]
    emulator.close()


def test_a_long_row_of_blanks_takes_no_time() -> None:
    rules, row = RowRules(AGENT), " " * 200_000 + "x"
    before = time.process_time()
    assert rules.judged(row) is not None
    assert time.process_time() - before < 1  # what grows with the square of the length takes minutes


def drawn_lines(rules: TranscriptRules, screen: bytes) -> list[str]:
    """The lines that a screen becomes once it has settled."""
    emulator = Emulator(10, 40)
    clock = iter(range(0, 1000, 10))
    transcript = Transcript(emulator, rules, lambda: float(next(clock)))
    transcript.feed(screen)
    told = [*transcript.tick(), *transcript.tick(), *transcript.tick()]
    emulator.close()
    return told


def test_a_panel_beside_the_text_is_no_part_of_its_rows() -> None:
    rules = TranscriptRules(live=("^>",), panel=(r"(• Panel \d)\s*\Z",))
    rows = ["an answer           Context", "日本 wide           12 tokens", "> box", "dir                 • Panel 1"]
    drawn = ALTERNATE + b"\x1b[H" + "\r\n".join(rows).encode()
    assert drawn_lines(rules, drawn) == ["an answer", "日本 wide"]
    assert drawn_lines(rules, drawn.removeprefix(ALTERNATE))[0] == "an answer           Context"
    without = drawn.replace("• Panel 1".encode(), b"")
    assert drawn_lines(rules, without) == ["an answer           Context", "日本 wide           12 tokens"]
