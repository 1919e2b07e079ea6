"""A painted screen makes any terminal of the same size show the same, and go on the same."""

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.repaint import MAX_PENDING_BYTES

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.cast.gz"))


_FRAGMENTS = [
    b"\x1b[", b"\x1b]2;", b"\x1bP", b"\x07", b"\x1b\\", b"\x1b[?1049h", b"\x1b[?1049l", b"\r\n", b"\x1b[H",
    b"\x1b[5;5H", b"\x1b[31m", b"\x1b[2J", "日".encode(), b"text ", b"\x1bc", b"\x1b[2;4r",
]  # fmt: skip


def state(emulator: Emulator) -> tuple[bytes, tuple[int, int], list[str], bool]:
    """All that can be asked of a terminal. That a character set was designated, and which is the usual one, is not."""
    return emulator.painted().replace(b"\x1b(B", b""), emulator.cursor, emulator.rows(), emulator.alternate


def twin(emulator: Emulator, *, after: bytes = b"") -> Emulator:
    """Another terminal of the same size that showed `after` before and then gets what `emulator` paints."""
    made = Emulator(emulator.size.rows, emulator.size.cols)
    made.feed(after)
    made.feed(emulator.painted())
    return made


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.removesuffix(".cast.gz"))
def test_recorded_agents_are_painted_and_go_on_from_any_byte(path: Path) -> None:
    header, *events = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    rows, cols = header["height"], header["width"]
    data = "".join(event[2] for event in events if event[1] == "o").encode()
    original, position = Emulator(rows, cols), 0
    for cut in sorted(random.Random(path.name).sample(range(len(data)), 60)):
        original.feed(data[position:cut])
        position = cut
        other = twin(original, after=data[:2000])
        assert state(other) == state(original), cut
        following = data[cut : cut + 3000]
        other.feed(following)
        expected = Emulator(rows, cols)
        expected.feed(data[: cut + 3000])
        assert other.rows() == expected.rows() or expected.alternate != original.alternate, cut
        assert other.cursor == expected.cursor or expected.alternate != original.alternate, cut


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[?1049h\x1b[?1h\x1b[?2004h\x1b[?1003h\x1b[?1006h\x1b[?25l\x1b[3;5r\x1b[4;7Hx",
        b"\x1b]2;a title\x07\x1b[1;3;4;7;9;31;48;2;1;2;3mstyled\x1b[0m plain \x1b[5;8mblink\x1b[44m\x1b[K",
        "wide 日本語 é 👨‍👩‍👧 end".encode(),
        b"\x1b[>4;2m\x1b[>1u\x1b=keys",
        b"\x1b[?7lno wrap" + b"x" * 60,
        b"\x1b[4h\x1b[2;2Hinsert",
    ],
)
def test_what_a_program_can_switch_on_is_painted(data: bytes) -> None:
    original = Emulator(6, 40)
    original.feed(data)
    assert state(twin(original)) == state(original)


@pytest.mark.parametrize("text", [b"a" * 40, "日".encode() * 20, b"\x1b[31m" + b"b" * 40 + b"\x1b[32m"])
def test_a_wrap_that_is_still_to_come_comes(text: bytes) -> None:
    original = Emulator(6, 40)
    original.feed(text)
    other = twin(original)
    for terminal in (original, other):
        terminal.feed(b"next")
    assert original.rows()[1] == "next"
    assert state(other) == state(original)


@pytest.mark.parametrize(
    ("begun", "rest"),
    [(b"\x1b[3", b"1mred"), (b"\x1b", b"[31mred"), (b"\x1b]2;ti", b"tle\x07x"), (b"\xe6\x97", b"\xa5x")],
)
def test_a_sequence_in_progress_is_taken_along(begun: bytes, rest: bytes) -> None:
    original = Emulator(6, 40)
    original.feed(b"before " + begun)
    other = twin(original)
    for terminal in (original, other):
        terminal.feed(rest)
    assert state(other) == state(original)


def test_a_sequence_that_never_ends_is_not_kept_for_ever() -> None:
    original = Emulator(6, 40)
    original.feed(b"\x1b]52;c;" + b"A" * (2 * MAX_PENDING_BYTES))
    assert len(original.painted()) < MAX_PENDING_BYTES


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(_FRAGMENTS),
            st.binary(max_size=6),
        ),
        max_size=30,
    ).map(b"".join)
)  # fmt: skip
def test_nothing_that_a_program_writes_breaks_the_painting(data: bytes) -> None:
    original = Emulator(6, 20)
    original.feed(data)
    other = twin(original)
    assert other.rows() == original.rows()
    assert other.title == original.title
