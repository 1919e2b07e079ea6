"""The stream comes back by itself: nothing lost, nothing twice, and it knows when to stop trying."""

import json
import threading
import time
from collections.abc import Iterator
from itertools import islice
from types import ModuleType
from typing import Any

import pytest

from meshd_core.client import BadAnswer, Event, MeshdClient, Unreachable, stream_starts
from meshd_core.client.resume import Resume
from meshd_core.errors import SlotNotFound, Unauthorized
from meshd_core.types import ByeEvent, EndEvent, Gap, Line, Receipt, StateEvent


@pytest.fixture
def client(server: Any, connect: Any) -> Iterator[MeshdClient]:
    with connect(url=server.url, token="t") as made:
        yield made


def numbers(events: list[Event]) -> list[int]:
    return [event.data.n for event in events if isinstance(event.data, Line)]


def streams(server: Any) -> list[Any]:
    return [request for request in server.requests if request.path.startswith("/stream/")]


def scripted_streams(server: Any, scripted: ModuleType, *parts: Any) -> None:
    """Answer the first stream request with `parts[0]`, the next with the next; slots with the usual one."""
    left = list(parts)

    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/slots/"):
            reply.json(scripted.SLOT)
        elif left:
            left.pop(0)(reply)
            reply.end()
        else:
            reply.stream()
            reply.until_closed()

    server.handle = handle


def test_it_resumes_after_the_last_event_through_every_kind_of_loss(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    def cut_within_an_event(reply: Any, after: int) -> None:
        reply.stream()
        reply.lines(1, 2)
        reply.chunk(b'id: e1-30\nevent: line\ndata: {"n": 3, ')

    def cut_within_a_chunk(reply: Any, after: int) -> None:
        reply.stream()
        reply.lines(*range(after + 1, 4))
        reply.raw(b"ff\r\nid: e1-")

    def refused_while_adopting(reply: Any, after: int) -> None:
        reply.error(503, "draining")

    def garbage_framing(reply: Any, after: int) -> None:
        reply.stream()
        reply.lines(*range(after + 1, 5))
        reply.raw(b"zzz\r\n")

    def closed_at_once(reply: Any, after: int) -> None:
        pass

    def one_byte_at_a_time(reply: Any, after: int) -> None:
        reply.stream()
        reply.lines(*range(after + 1, 5))
        for byte in b': hi\n\nid: e1-50\nevent: line\ndata: {"n": 5, "t": "x", "text": "y"}\n\n':
            reply.chunk(bytes([byte]))
        reply.until_closed()

    parts = [
        cut_within_an_event, cut_within_a_chunk, refused_while_adopting, garbage_framing, closed_at_once,
        one_byte_at_a_time,
    ]  # fmt: skip

    def resumed(part: Any) -> Any:
        """As a daemon does it: what a client was not handed out before a loss is sent again."""

        def answer(reply: Any) -> None:
            last = server.requests[-1].headers.get("last-event-id", "e1-0")
            part(reply, int(last.removeprefix("e1-")) // 10)

        return answer

    scripted_streams(server, scripted, *map(resumed, parts))
    losses: list[Exception] = []
    found = list(islice(client.stream("demo", tail=2, on_away=losses.append, deadline_s=20), 5))
    assert numbers(found) == [1, 2, 3, 4, 5]
    asked = streams(server)
    assert asked[0].target == "/stream/demo?tail=2" and "last-event-id" not in asked[0].headers
    assert all(request.target == "/stream/demo" for request in asked[1:])
    positions = [request.headers["last-event-id"] for request in asked[1:]]
    assert positions == sorted(positions) and set(positions) <= {"e1-20", "e1-30", "e1-40", "e1-70"}
    assert len(losses) >= 4  # a request that a closed connection swallowed may be repeated at once


def test_all_types_of_events_are_typed_and_an_unknown_one_is_passed_over(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    def answer(reply: Any) -> None:
        reply.stream()
        reply.chunk(
            b'event: state\ndata: {"status": "running", '
            b'"activity": {"state": "idle", "since": "x", "confidence": 1}}\n\n'
            b"event: novelty\nid: e1-5\ndata: ???\n\n"
            b'event: gap\nid: e1-10\ndata: {"lost_lines": 3, "lost_bytes": 30, "new": 1}\n\n'
            b'event: end\nid: e1-11\ndata: {"exit": {"at": "x", "code": 3}}\n\n'
            b'event: bye\ndata: {"reason": "shutdown"}\n\n'
        )
        reply.chunk(b"event: inject\nid: e1-12\ndata: " + json.dumps(scripted.receipt("written")).encode() + b"\n\n")

    scripted_streams(server, scripted, answer)
    found = list(islice(client.stream("demo", since="oldest", events=["state", "gap"]), 5))
    assert [type(event.data) for event in found] == [StateEvent, Gap, EndEvent, ByeEvent, Receipt]
    assert [event.id for event in found] == [None, "e1-10", "e1-11", None, "e1-12"]
    assert streams(server)[0].target == "/stream/demo?events=state%2Cgap&since=oldest"


def test_without_a_cursor_what_came_before_the_first_event_is_not_missed(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    def only_a_snapshot(reply: Any) -> None:
        reply.stream()
        reply.chunk(b'event: bye\ndata: {"reason": "shutdown"}\n\n')

    def then_a_line(reply: Any) -> None:
        reply.stream()
        reply.lines(8)

    scripted_streams(server, scripted, only_a_snapshot, then_a_line)
    assert numbers(list(islice(client.stream("demo"), 2))) == [8]
    first, second = streams(server)
    assert first.target == "/stream/demo" and "last-event-id" not in first.headers
    assert second.headers["last-event-id"] == "e1-70"  # the slot's last position when the stream was opened


def test_a_given_position_is_resumed_at_once(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    def a_line(reply: Any) -> None:
        reply.stream()
        reply.lines(5)

    scripted_streams(server, scripted, a_line)
    assert numbers(list(islice(client.stream("demo", last_event_id="e1-40"), 1))) == [5]
    assert server.requests[0].headers["last-event-id"] == "e1-40"


def test_silence_counts_as_a_lost_connection_but_a_comment_is_not_silence(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    heard = threading.Event()

    def comments_then_nothing(reply: Any) -> None:
        reply.stream()
        for _ in range(6):
            reply.chunk(b": heartbeat\n\n")
            heard.wait(0.1)  # longer in sum than the silence that is allowed
        reply.lines(1)
        reply.until_closed()

    def back(reply: Any) -> None:
        reply.stream()
        reply.lines(2)

    scripted_streams(server, scripted, comments_then_nothing, back)
    assert numbers(list(islice(client.stream("demo", tail=5, silence_s=0.4), 2))) == [1, 2]
    assert len(streams(server)) == 2


def test_the_deadline_ends_a_stream_that_says_nothing(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    scripted_streams(server, scripted)
    begun = time.monotonic()
    assert list(client.stream("demo", tail=5, deadline_s=0.3)) == []
    assert 0.25 <= time.monotonic() - begun < 5


def test_the_deadline_ends_the_attempts_to_come_back(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    def one(reply: Any) -> None:
        reply.stream()
        reply.lines(1)
        server.listener.close()

    scripted_streams(server, scripted, one)
    begun = time.monotonic()
    assert numbers(list(client.stream("demo", tail=5, deadline_s=0.7))) == [1]
    assert time.monotonic() - begun < 5


def test_the_pauses_grow_and_are_short_again_after_an_event() -> None:
    resume = Resume(stream_starts.stream("demo", tail=5), "http://h")
    resume.accept(200, "text/event-stream")
    pauses = [resume.lost(resume.ended()) for _ in range(6)]
    assert numbers(list(resume.events(b'event: line\nid: e1-1\ndata: {"n": 1, "t": "x", "text": "y"}\n\n'))) == [1]
    pauses.append(resume.lost(resume.silent()))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.2]


def test_a_stream_that_never_began_raises_instead_of_trying_forever(
    server: Any, client: MeshdClient, connect: Any
) -> None:
    server.handle = lambda request, reply: reply.error(404, "slot_not_found")
    with pytest.raises(SlotNotFound):
        next(client.stream("demo", tail=1))
    url = server.url
    server.close()
    with connect(url=url) as late, pytest.raises(Unreachable):
        next(late.stream("demo", since="oldest"))


def test_a_refusal_after_a_loss_is_final(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    def one(reply: Any) -> None:
        reply.stream()
        reply.lines(1)

    scripted_streams(server, scripted, one, lambda reply: reply.error(401, "unauthorized"))
    stream = client.stream("demo", since="oldest")
    assert numbers([next(stream)]) == [1]
    with pytest.raises(Unauthorized):
        next(stream)


@pytest.mark.parametrize(
    "answer",
    [
        lambda reply: reply.json({"slots": []}),
        lambda reply: reply.raw(b"SSH-2.0-OpenSSH\r\n"),
        lambda reply: (reply.stream(), reply.chunk(b"event: line\nid: e1-1\ndata: [1]\n\n")),
    ],
    ids=["no stream", "no HTTP", "no line"],
)
def test_what_is_not_a_stream_of_meshd_is_a_bad_answer(
    server: Any, client: MeshdClient, scripted: ModuleType, answer: Any
) -> None:
    scripted_streams(server, scripted, answer)
    with pytest.raises(BadAnswer):
        next(client.stream("demo", since="oldest"))


def test_two_cursors_are_refused(client: MeshdClient) -> None:
    with pytest.raises(ValueError):
        client.stream("demo", since="oldest", tail=3)


def test_leaving_a_stream_early_closes_its_connection(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    closed = threading.Event()

    def one(reply: Any) -> None:
        reply.stream()
        reply.lines(1)
        reply.until_closed()
        closed.set()

    scripted_streams(server, scripted, one)
    stream = client.stream("demo", since="oldest")
    next(stream)
    stream.close()
    assert closed.wait(5)
