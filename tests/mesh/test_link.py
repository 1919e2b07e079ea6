"""The news of one other node: what it may cost, however much it says."""

import asyncio
import json
import socket
from collections.abc import Iterator

import msgspec
import pytest

from meshd_core.clock import rfc3339
from meshd_core.config.model import PeerSection
from meshd_core.contracts.events import SlotData
from meshd_core.mesh.link import MAX_EVENT_BYTES, MAX_STATES_BYTES, Link
from meshd_core.mesh.news import Item, state_of
from meshd_core.mesh.peer import Peer
from meshd_core.types import Activity, NodeOutcome
from tests.client.scripted_server import Reply, Request, ScriptedServer

pytestmark = pytest.mark.anyio


def state(slot: str, title_bytes: int, *, removed: bool = False) -> bytes:
    """A state event of `slot@mac2` with a title of that length."""
    data = SlotData(
        kind="demo", labels={}, status="running", activity=Activity("idle", rfc3339(), 0.9), dialog=None,
        title="x" * title_bytes, pid=1, restarts=0, queue=0, agent_version=None, error=None, config="live",
        removed=removed,
    )  # fmt: skip
    return b"event: state\ndata: " + msgspec.json.encode(state_of(f"{slot}@mac2", rfc3339(), data)) + b"\n\n"


class Telling:
    """mac2, which tells `events` to who listens, and then nothing."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def __call__(self, request: Request, reply: Reply) -> None:
        if request.path == "/node":
            about = {
                "name": "mac2", "boot_id": "b", "version": "1", "protocol": "1.0", "features": [], "now": rfc3339(),
                "started_at": rfc3339(), "pid": 1, "load": [],
                "slots": {"total": 0, "by_status": {}, "by_activity": {}},
            }  # fmt: skip
            body = json.dumps(about).encode()
            reply.raw(b"HTTP/1.1 200 OK\r\nMeshd-Node: mac2\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        reply.raw(b"HTTP/1.1 200 OK\r\nMeshd-Node: mac2\r\nContent-Type: text/event-stream\r\n\r\n")
        for event in self.events:
            reply.raw(event)
        reply.until_closed()


@pytest.fixture
def far() -> Telling:
    return Telling()


@pytest.fixture
def server(far: Telling) -> Iterator[ScriptedServer]:
    running = ScriptedServer(socket.create_server(("127.0.0.1", 0))).start()
    running.handle = far
    yield running
    running.close()


async def listen(server: ScriptedServer, slot: str | None) -> list[Item]:
    """What is told until a state of `slot` is; None: until the node is found to talk garbage."""
    told: list[Item] = []
    done = asyncio.Event()

    def tell(item: Item) -> None:
        told.append(item)
        garbage = isinstance(item.data, NodeOutcome) and item.data.outcome == "garbage"
        if garbage or (slot is not None and item.slot == slot):
            done.set()

    peer = Peer(PeerSection("mac2", server.url), "mac1", lambda ref: "")
    running = asyncio.create_task(Link(peer, tell).run())
    try:
        async with asyncio.timeout(60):
            await done.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await peer.close()
    return told


def ends_as_garbage(told: list[Item]) -> bool:
    last = told[-1].data
    return isinstance(last, NodeOutcome) and last.outcome == "garbage" and "bytes" in (last.error or "")


async def test_one_event_has_a_limit(server: ScriptedServer, far: Telling) -> None:
    far.events = [state("a", MAX_EVENT_BYTES - 1000), state("b", MAX_EVENT_BYTES)]
    told = await listen(server, None)
    assert [item.slot for item in told] == [None, "a", None] and ends_as_garbage(told)


async def test_all_states_together_have_a_limit(server: ScriptedServer, far: Telling) -> None:
    size = MAX_EVENT_BYTES - 1000
    far.events = [state(f"s{number}", size) for number in range(MAX_STATES_BYTES // size + 1)]
    told = await listen(server, None)
    assert len(told) > 20 and ends_as_garbage(told)


async def test_only_the_last_state_of_each_slot_counts(server: ScriptedServer, far: Telling) -> None:
    size = MAX_EVENT_BYTES - 1000
    far.events = [
        state(f"s{number % 3}", size, removed=number % 3 == 2) for number in range(MAX_STATES_BYTES // size + 5)
    ]
    far.events.append(state("last", 1))
    told = await listen(server, "last")
    assert (told[-1].event, told[-1].slot) == ("state", "last")
