"""The text filter: what a line-oriented program printed, as a person would read it."""

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshd_core.terminal.text_filter import CAP, STRING_CAP, TextFilter

PIECES = st.sampled_from([
    b"a", b"word ", b"\n", b"\r\n", b"\r", b"\b", b"\t", b"\x1b[31m", b"\x1b[0m", b"\x1b[K", b"\x1b[1K", b"\x1b[2K",
    b"\x1b[3C", b"\x1b[2G", b"\x1b[D", b"\x1b[2P", b"\x1b[2@", b"\x1b[3X", b"\x1b[?25l", b"\x1b]0;title", b"\x07",
    b"\x1b\\", b"\x1bPdcs", b"\x18", b"\x1b(B", b"\x1b[", b"\x1b", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xe2\x82",
    b"\xff", b"\xed\xa0\x80", b"\xc2\x9b", b"\xc2", b"\x80", b"\x00", b"\x7f", b"\x9b1m", b"0" * 70, b"z" * 9000,
])  # fmt: skip
STREAMS = st.one_of(st.lists(PIECES, max_size=40).map(b"".join), st.binary(max_size=300))


def lines_of(data: bytes, *cuts: int, start: int = 0) -> list[tuple[str, int]]:
    """All lines of `data[start:]`, fed in chunks that end at `cuts`."""
    text_filter = TextFilter()
    lines = []
    edges = [start, *sorted(cut for cut in cuts if cut > start), len(data)]
    for begin, end in pairwise(edges):
        lines += text_filter.feed(memoryview(data)[begin:end], begin)
    return lines + text_filter.flush()


def texts(data: bytes) -> list[str]:
    return [text for text, _ in lines_of(data)]


@settings(max_examples=300, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 400), max_size=8))
@example(b"\xe2\x82", [1])
def test_any_chunking_gives_the_same_lines(data: bytes, cuts: list[int]) -> None:
    assert lines_of(data, *(min(cut, len(data)) for cut in cuts)) == lines_of(data)


@settings(max_examples=100, deadline=None)
@given(STREAMS)
def test_single_bytes_give_the_same_lines(data: bytes) -> None:
    assert lines_of(data, *range(min(len(data), 2000))) == lines_of(data)


@settings(max_examples=300, deadline=None)
@given(STREAMS)
@example(b"z" * (CAP - 1) + b"\xe2\x82\xac" * 3 + b"\n")
@example(b"z" * (CAP - 1) + b"\xe2\x82A\xe2\x82A\n")
def test_a_fresh_filter_at_any_line_end_gives_the_following_lines(data: bytes) -> None:
    lines = lines_of(data)
    for index, (_, raw_end) in enumerate(lines):
        assert lines_of(data, start=raw_end) == lines[index + 1 :]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"one\r\ntwo\nthree", ["one", "two", "three"]),
        (b"10%\r20%\r100%\n", ["100%"]),
        (b"loading...\rdone\n", ["doneing..."]),
        (b"loading...\r\x1b[Kdone\n", ["done"]),
        (b"| work\r\x1b[2K/ work\r\x1b[2Kready\r\n", ["ready"]),
        (b"abcdef\x1b[3D\x1b[1K!\n", ["   !ef"]),
        (b"typo\b\b\b\brigt\n", ["rigt"]),
        (b"a\tb\tc\n", ["a       b       c"]),
        (b"a\x1b[5Cb\n", ["a     b"]),
        (b"abc\x1b[1Gx\x1b[8Gy\n", ["xbc    y"]),
        (b"\x1b[1;31mred\x1b[0m plain \x1b[38;5;12mblue\x1b[m\n", ["red plain blue"]),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07 end\n", ["link end"]),
        (b"a\x1b]0;ti\ntle\x07b\n", ["ab"]),
        (b"a\x1bP1;2|x\ny\x1b\\b\x1b_apc\x1b\\c\x1b^pm\x1b\\d\x1bXsos\x1b\\e\n", ["abcde"]),
        (b"x\x1b(By\x1b=z\x1b7\n", ["xyz"]),
        (b"\xc2\x9bx\xc2\x85y\x00\x0b\x7fz\n", ["xyz"]),
        (b"caf\xc3\xa9 \xff\xf0\x9f\x98\x80\xe2\x82\n", ["café \ufffd😀\ufffd"]),
        (b"cut\x1b[3\nnext\n", ["cut", "next"]),
        (b"\n\r\n\n", ["", "", ""]),
    ],
)
def test_a_line_reads_as_on_a_terminal(raw: bytes, expected: list[str]) -> None:
    assert texts(raw) == expected


def test_a_spinner_without_line_feeds_stays_bounded_and_shows_its_last_state() -> None:
    text_filter = TextFilter()
    for turn in range(20_000):
        assert text_filter.feed(f"\r\x1b[K{turn} of many".encode(), turn * 20) == []
    assert text_filter.pending() == "19999 of many"


def test_a_line_of_a_megabyte_comes_out_in_pieces_that_lose_nothing() -> None:
    line = "".join(chr(97 + index % 26) for index in range(1 << 20))
    pieces = lines_of(line.encode() + b"\nnext\n", 4096, 70_000)
    assert [len(text) for text, _ in pieces[:-2]] == [CAP] * (len(pieces) - 2)
    assert "".join(text for text, _ in pieces[:-1]) == line
    assert pieces[-1] == ("next", len(line) + 6)


def test_an_unterminated_string_costs_linear_time_and_no_memory() -> None:
    def cpu_s(size: int) -> float:
        text_filter = TextFilter()
        text_filter.feed(b"\x1b]0;", 0)
        chunk = b"x" * 4096
        began = time.process_time()
        for base in range(4, size, len(chunk)):
            assert text_filter.feed(chunk, base) == []
        taken = time.process_time() - began
        assert text_filter.pending() == ""
        held = sum(len(value) for value in vars(text_filter).values() if isinstance(value, (str, bytes)))
        assert held < 4096
        return taken

    small = min(cpu_s(1 << 20) for _ in range(3))
    large = min(cpu_s(4 << 20) for _ in range(3))
    assert large < 12 * small + 0.05
    assert cpu_s(10 << 20) < 5


def test_a_stray_string_introducer_does_not_silence_a_program_for_good() -> None:
    noise = b"\x1b]" + b"0123456789abcdef\n" * (STRING_CAP // 17 + 1)
    assert texts(noise + b"alive\n")[-1] == "alive"
    assert lines_of(noise + b"alive\n", *range(0, len(noise), 999)) == lines_of(noise + b"alive\n")


def test_moves_to_the_right_are_no_bomb_of_spaces() -> None:
    lines = lines_of(b"\x1b[999999999Cx\x1b[999999999G\x1b[99999@\n" * 100)
    assert len(lines) == 100
    assert max(len(text) for text, _ in lines) <= 2100


def test_flush_gives_the_unfinished_line_once() -> None:
    text_filter = TextFilter()
    assert text_filter.feed(b"done\n$ \xc3", 100) == [("done", 105)]
    assert text_filter.flush() == [("$ \ufffd", 108)]
    assert text_filter.flush() == []
    assert text_filter.feed(b"new\n", 108) == [("new", 112)]
