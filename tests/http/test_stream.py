"""Streams: what a reader is given, where it resumes, what it is told it missed, and what a stalled one costs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.http import fanout, stream
from meshd_core.types import EndEvent, ExitStatus, Gap, StateEvent

pytestmark = pytest.mark.anyio
Running = Any


class Event(msgspec.Struct):
    name: str
    id: str | None
    data: Any


class StreamClient:
    """Reads one stream, undoing chunks and events; a byte too many or too few fails the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""
        self.comments = 0
        self._held = b""

    async def open(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def next(self) -> Event | None:
        """The next event; None at the end of the answer."""
        while True:
            while b"\n\n" not in self._held:
                async with asyncio.timeout(10):
                    data = await self.chunk()
                if not data:
                    return None
                self._held += data
            block, _, self._held = self._held.partition(b"\n\n")
            if block.startswith(b":"):
                self.comments += 1
                continue
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))

    async def take(self, count: int) -> list[Event]:
        found = []
        for _ in range(count):
            event = await self.next()
            assert event is not None
            found.append(event)
        return found

    async def lines(self, count: int) -> list[int]:
        return [event.data["n"] for event in await self.take(count)]


@pytest.fixture
async def running(short_tmp: Path) -> AsyncIterator[Running]:
    from tests.http.conftest import serving

    async with serving(short_tmp) as found:
        yield found


@asynccontextmanager
async def streaming(
    running: Running, query: str = "", *, version: str = "1.1", **headers: str
) -> AsyncIterator[StreamClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1 << 20)
    given = {"Host": "localhost", "Authorization": f"Bearer {running.admin}"}
    given |= {key.replace("_", "-"): value for key, value in headers.items()}
    lines = "".join(f"{key}: {value}\r\n" for key, value in given.items())
    writer.write(f"GET /stream/demo{query} HTTP/{version}\r\n{lines}\r\n".encode("latin-1"))
    client = StreamClient(reader, writer)
    try:
        await client.open()
        yield client
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_without_a_cursor_a_snapshot_comes_first_then_what_happens(running: Running) -> None:
    feed = running.node.feeds["demo"]
    feed.lines("before")
    async with streaming(running) as client:
        assert b"text/event-stream" in client.head
        assert b"meshd-request-id" in client.head
        (snapshot,) = await client.take(1)
        assert (snapshot.name, snapshot.id, snapshot.data["status"]) == ("state", None, "running")
        feed.lines("one", 'two ☃ "quoted"\u2028')
        one, two = await client.take(2)
        assert (one.name, one.data["n"], one.data["text"]) == ("line", 2, "one")
        assert two.data["text"] == 'two ☃ "quoted"\u2028'
        assert two.id == f"e1-{feed.head}"


async def test_since_and_tail_choose_where_to_begin(running: Running) -> None:
    feed = running.node.feeds["demo"]
    feed.lines(*"abcdef")
    middle = f"e1-{feed.tail_lines(3)}"
    for query, expected in (
        ("?since=oldest", [1, 2, 3, 4, 5, 6]),
        (f"?since={middle}", [4, 5, 6]),
        ("?tail=2", [5, 6]),
        ("?tail=100", [1, 2, 3, 4, 5, 6]),
    ):
        async with streaming(running, query) as client:
            assert await client.lines(len(expected)) == expected
    async with streaming(running, "?tail=0") as client:
        feed.lines("g")
        assert await client.lines(1) == [7]


async def test_last_event_id_resumes_exactly_after_that_event(running: Running) -> None:
    feed = running.node.feeds["demo"]
    feed.lines(*(str(n) for n in range(100)))
    async with streaming(running, "?since=oldest") as client:
        seen = await client.take(40)
    async with streaming(running, "?since=oldest", Last_Event_ID=seen[-1].id) as client:
        assert await client.lines(60) == list(range(41, 101))


@pytest.mark.parametrize(
    "last_id", ["garbage", "e0-5", "e1-999999", "e1-7", "e1-", "-", "e1-00", "é", "e1-" + "9" * 400]
)
async def test_a_last_event_id_that_is_not_held_gives_a_gap_then_the_oldest(running: Running, last_id: str) -> None:
    running.node.feeds["demo"].lines("a", "b")
    async with streaming(running, Last_Event_ID=last_id) as client:
        gap, first = await client.take(2)
        assert (gap.name, gap.id, gap.data["lost_lines"]) == ("gap", "e1-0", None)
        assert first.data["n"] == 1


async def test_garbage_in_since_is_422_but_an_unknown_id_is_a_gap(running: Running) -> None:
    for query in (
        "?since=garbage",
        "?since=",
        "?tail=-1",
        "?tail=x",
        "?since=oldest&tail=1",
        "?events=line,foo",
        "?x=1",
    ):
        async with streaming(running, query) as client:
            assert client.head.startswith(b"HTTP/1.1 422"), query
    running.node.feeds["demo"].lines("a")
    async with streaming(running, "?since=e9-5") as client:
        assert [event.name for event in await client.take(2)] == ["gap", "line"]


async def test_what_fell_out_of_the_ring_is_counted_where_it_can_be(short_tmp: Path) -> None:
    from tests.http.conftest import serving
    from tests.http.memory_node import MemoryFeed, MemoryNode

    node = MemoryNode()
    async with serving(short_tmp, node) as running:
        feed = node.feeds["demo"] = MemoryFeed(keep=10)
        feed.lines(*(str(n) for n in range(1, 31)))
        async with streaming(running, Last_Event_ID="e1-0") as client:
            gap, first = await client.take(2)
            assert (gap.data["lost_lines"], gap.id) == (20, f"e1-{feed.tail}")
            assert first.data["n"] == 21


async def test_events_are_filtered_but_gaps_always_come(running: Running) -> None:
    feed = running.node.feeds["demo"]
    async with streaming(running, "?events=state,end") as client:
        await client.take(1)
        feed.lines("unwanted")
        feed.event("gap", Gap(3, 100))
        feed.lines("unwanted")
        feed.event("state", feed.snapshot())
        feed.event("end", EndEvent(ExitStatus("2026-01-01T00:00:00.000Z", code=0)))
        gap, state, end = await client.take(3)
        assert (gap.name, gap.data) == ("gap", {"lost_lines": 3, "lost_bytes": 100})
        assert msgspec.convert(state.data, StateEvent) == feed.snapshot()
        assert end.data["exit"]["code"] == 0
        feed.event("state", feed.snapshot())
        assert (await client.take(1))[0].name == "state", "the stream goes on after the end of an agent"


async def test_a_quiet_stream_says_now_and_then_that_it_lives(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "PULSE_S", 0.02)
    monkeypatch.setattr(stream, "COMMENT_EVERY_S", 0.1)
    async with streaming(running, "?tail=0") as client:
        for _ in range(3):
            assert await client.chunk() == b": still here\n\n"


async def test_an_http_1_0_client_gets_the_stream_without_chunks(running: Running) -> None:
    async with streaming(running, version="1.0") as client:
        assert b"transfer-encoding" not in client.head.lower()
        running.node.feeds["demo"].lines("plain")
        data = await client.reader.readuntil(b"plain")
        assert data.startswith(b"event: state\n")


async def test_a_reader_that_went_away_is_forgotten(running: Running) -> None:
    feed = running.node.feeds["demo"]
    async with streaming(running) as client:
        await client.take(1)
        await until(lambda: feed.reading == 1)
    await until(lambda: feed.reading == 0 and running.app.hub.readers() == 0)


async def test_the_end_says_bye_to_every_reader_and_is_quick(short_tmp: Path) -> None:
    from tests.http.conftest import serving

    async with serving(short_tmp) as running:
        clients = [streaming(running) for _ in range(5)]
        opened = [await client.__aenter__() for client in clients]
        for client in opened:
            await client.take(1)
        begun = asyncio.get_running_loop().time()
        running.server.stop()
        for client in opened:
            (bye,) = await client.take(1)
            assert (bye.name, bye.id, bye.data) == ("bye", None, {"reason": "draining"})
            assert await client.next() is None
        assert asyncio.get_running_loop().time() - begun < 3
        for context in clients:
            await context.__aexit__(None, None, None)


async def test_many_readers_share_blocks_and_each_gets_every_line_once(running: Running) -> None:
    feed = running.node.feeds["demo"]
    contexts = [streaming(running, "?tail=0") for _ in range(20)]
    clients = [await context.__aenter__() for context in contexts]
    await until(lambda: feed.reading == 20)

    async def produce() -> None:
        for n in range(200):
            feed.lines(*(f"line {n}-{m}" for m in range(10)))
            await asyncio.sleep(0)

    found, *_ = await asyncio.gather(asyncio.gather(*(client.lines(2000) for client in clients)), produce())
    assert all(numbers == list(range(1, 2001)) for numbers in found)
    for context in contexts:
        await context.__aexit__(None, None, None)


async def test_a_stalled_reader_costs_64_kib_slows_nobody_and_is_told_its_gap(short_tmp: Path) -> None:
    from tests.http.conftest import serving
    from tests.http.memory_node import MemoryFeed, MemoryNode

    node = MemoryNode()
    async with serving(short_tmp, node) as running:
        feed = node.feeds["demo"] = MemoryFeed(keep=20_000)
        async with streaming(running, "?tail=0") as stalled, streaming(running, "?tail=0") as good:
            await until(lambda: feed.reading == 2)
            stalled.writer.transport.pause_reading()
            total = 120_000  # ~20 MB of events: far more than the kernel buffers for the stalled one
            text = "x" * 100

            async def produce() -> None:
                for _ in range(total // 500):
                    feed.lines(*[text] * 500)
                    await asyncio.sleep(0)
                    while feed.head - position[0] > 1_500_000:
                        await asyncio.sleep(0.001)

            position = [0]
            task = asyncio.create_task(produce())
            for n in range(1, total + 1):
                event = await good.next()
                assert event is not None and event.data["n"] == n
                position[0] = int(str(event.id).partition("-")[2])
            await task
            held = [c.transport.get_write_buffer_size() for c in running.server.server_state.connections]
            assert max(held) <= 64 * 1024 + 200
            assert len(held) == 2
            stalled.writer.transport.resume_reading()
            last, lost = 0, 0
            while last < total:
                event = await stalled.next()
                assert event is not None
                if event.name == "gap":
                    lost = event.data["lost_lines"]
                    last += lost
                else:
                    last += 1
                    assert event.data["n"] == last, "nothing is lost or doubled but what the gap says"
            assert lost > 0


async def test_a_stalled_reader_does_not_hold_up_the_end(short_tmp: Path) -> None:
    from tests.http.conftest import serving

    async with serving(short_tmp) as running:
        feed = running.node.feeds["demo"]
        async with streaming(running, "?tail=0") as stalled:
            await until(lambda: feed.reading == 1)
            stalled.writer.transport.pause_reading()
            feed.lines(*["x" * 1000] * 30_000)
            await until(
                lambda: any(c.transport.get_write_buffer_size() for c in running.server.server_state.connections)
            )
            begun = asyncio.get_running_loop().time()
            feed.close()
            running.server.stop()
            await until(lambda: not running.server.server_state.connections)
            assert asyncio.get_running_loop().time() - begun < 9
