"""The event-stream parser: any chunking gives the same events, and nothing makes it wait or grow without bound."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_core.client.sse import MAX_EVENT_BYTES, RawEvent, SseParser, TooLong

STREAM = (
    b"\xef\xbb\xbf: hello\n\nevent: line\nid: e1-10\ndata: {}\n\n"
    b"id: e1-20\r\nevent: state\r\ndata: a\r\ndata: b\r\n\r\n"
    b": heartbeat\r\rdata\rdata: x\r\rid: e1-30\n\nretry: 5\nunknown: field\ndata:no space\n\n"
    b"data: \xff\xfe\n\nevent: cut off\ndata: never"
)
EVENTS = [
    RawEvent("line", "e1-10", b"{}"),
    RawEvent("state", "e1-20", b"a\nb"),
    RawEvent("message", None, b"\nx"),
    RawEvent("message", None, b"no space"),
    RawEvent("message", None, b"\xff\xfe"),
]


def test_events_comments_and_all_line_ends_are_told_apart() -> None:
    assert SseParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_chunking_gives_the_same_events(cuts: list[int]) -> None:
    parser = SseParser()
    places = [0, *sorted(cuts), len(STREAM)]
    found = [event for start, end in itertools.pairwise(places) for event in parser.feed(STREAM[start:end])]
    assert found == EVENTS


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    parser = SseParser()
    assert [event for at in range(len(STREAM)) for event in parser.feed(STREAM[at : at + 1])] == EVENTS


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_at_all_make_it_raise(chunks: list[bytes]) -> None:
    parser = SseParser()
    for chunk in chunks:
        parser.feed(chunk)


def test_an_event_id_with_a_nul_is_ignored() -> None:
    assert SseParser().feed(b"id: a\0b\ndata: x\n\n") == [RawEvent("message", None, b"x")]


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"data: " + b"x" * 65536 + b"\n"])
def test_an_endless_event_is_refused_instead_of_held(chunk: bytes) -> None:
    def feed_without_end(parser: SseParser) -> None:
        for _ in range(2 * MAX_EVENT_BYTES // len(chunk)):
            parser.feed(chunk)

    with pytest.raises(TooLong):
        feed_without_end(SseParser())
