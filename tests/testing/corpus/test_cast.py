"""Casts survive the disk, however the program's bytes were cut."""

import gzip
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_core.testing.corpus.cast import CastEvent, CastWriter, Header, parse_size, read_cast, write_cast
from meshd_core.types import Size

HEADER = Header(width=80, height=24, timestamp=1_700_000_000, title="one-line", env={"TERM": "xterm-256color"})


def _written(*pieces: bytes) -> CastWriter:
    writer = CastWriter(HEADER)
    for number, piece in enumerate(pieces):
        writer.output(number / 10, piece)
    return writer


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    writer = _written(b"\x1b[2Jready\r\n")
    writer.input(0.2, b"h\xc3\xa4\r")
    writer.resize(0.3, Size(rows=30, cols=100))
    writer.mark(0.4, "turn over")
    cast = writer.finish(0.5)
    write_cast(cast, tmp_path / "a.cast.gz")
    again = read_cast(tmp_path / "a.cast.gz")
    assert again == cast
    assert again.header == HEADER
    assert again.events == (
        CastEvent(0.0, "o", "\x1b[2Jready\r\n"),
        CastEvent(0.2, "i", "hä\r"),
        CastEvent(0.3, "r", "100x30"),
        CastEvent(0.4, "m", "turn over"),
    )
    assert parse_size("100x30") == Size(rows=30, cols=100)


@given(st.text(), st.lists(st.integers(0, 40), max_size=5))
def test_a_character_that_a_read_cuts_is_whole(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[low:high] for low, high in itertools.pairwise(places)]
    cast = _written(*pieces).finish(9.0)
    assert "".join(event.data for event in cast.output()) == data.decode()


def test_a_character_without_an_end_is_no_error() -> None:
    assert [event.data for event in _written(b"a\xf0\x9f").finish(1.0).output()] == ["a", "�"]


def test_the_same_cast_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_cast(_written(b"x").finish(1.0), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"version":3,"width":1,"height":1}\n', b"\xff\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="not an asciicast"):
        read_cast(tmp_path / "a")
