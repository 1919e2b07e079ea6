"""A prompt for another node: once at most, and its receipt never says what isn't so."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meshd_core.clock import now_ms
from meshd_core.config.model import PeerSection
from meshd_core.errors import IdempotencyMismatch, MeshdError, NodeNotFound, PeerError, SlotBusy
from meshd_core.mesh import dispatch as dispatching
from meshd_core.mesh.dispatch import Dispatcher, Sender
from meshd_core.mesh.dispatch_store import KEEP_MS, DispatchStore
from meshd_core.mesh.peer import Peer
from meshd_core.types import InjectRequest
from tests.client.scripted_server import Reply, Request, ScriptedServer

pytestmark = pytest.mark.anyio


class FarNode:
    """Takes prompts as a node does: a key is typed once. `plan` says what goes wrong with the next ones."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked: list[Request] = []
        self.plan: list[str] = []
        self.release = threading.Event()

    def __call__(self, request: Request, reply: Reply) -> None:
        if request.path == "/node":
            counts = {"total": 0, "by_status": {}, "by_activity": {}}
            about = {
                "name": "far", "boot_id": "b", "version": "1", "protocol": "1.0", "features": [], "now": "", "pid": 1,
                "started_at": "", "slots": counts, "load": [],
            }  # fmt: skip
            self.send(reply, 200, about)
            return
        self.asked.append(request)
        fault = self.plan.pop(0) if self.plan else ""
        if fault == "drop":
            reply.drop()
        elif fault == "busy":
            self.send(reply, 409, {"error": {"code": "slot_busy", "message": "busy"}})
        elif fault == "silent":
            self.release.wait(20)
            reply.drop()
        else:
            receipt = self.take(request)
            if fault == "typed, then dropped":
                reply.drop()
            else:
                self.send(reply, 200, receipt)

    def take(self, request: Request) -> dict[str, Any]:
        key = request.headers["idempotency-key"]
        if key not in self.keys:
            self.keys[key] = {
                "id": f"{request.headers['meshd-receipt']}@far", "slot": "s", "node": "far", "stage": "submitted",
                "stages": {}, "queue_position": None, "changes": [], "reply": None, "error": None, "capped": False,
            }  # fmt: skip
        return self.keys[key]

    def send(self, reply: Reply, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nMeshd-Node: far\r\nContent-Length: {len(content)}\r\n\r\n"
        reply.raw(head.encode() + content)


@pytest.fixture
def far() -> FarNode:
    return FarNode()


@pytest.fixture
def server(far: FarNode) -> Iterator[ScriptedServer]:
    running = ScriptedServer(socket.create_server(("127.0.0.1", 0))).start()
    running.handle = far
    yield running
    far.release.set()
    running.close()


@asynccontextmanager
async def dispatcher(server: ScriptedServer, folder: Path) -> AsyncIterator[Dispatcher]:
    peer = Peer(PeerSection(name="far", url=server.url), "near", lambda ref: "")
    store = DispatchStore(folder / "dispatches.db")
    try:
        yield Dispatcher(store, lambda name: peer)
    finally:
        store.close()
        await peer.close()


@pytest.fixture
def sender() -> Callable[..., Sender]:
    return lambda key=None: Sender(id="me", headers={}, key=key)


def ask(text: str = "hello", timeout_s: float = 5.0, **more: Any) -> InjectRequest:
    return InjectRequest(text=text, timeout_s=timeout_s, **more)


async def test_a_prompt_that_arrives_has_the_receipt_that_was_recorded_for_it(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    async with dispatcher(server, tmp_path) as there:
        receipt = await there.inject("s", "far", ask(), sender())
        assert receipt.id.endswith("@far")
        assert receipt.id == f"{far.asked[0].headers['meshd-receipt']}@far"
        assert there.doubtful(receipt.id) is not None


@pytest.mark.parametrize("fault", ["drop", "typed, then dropped"])
async def test_an_attempt_that_is_cut_off_is_repeated_with_the_same_key(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path, fault: str
) -> None:
    far.plan = [fault, fault]
    async with dispatcher(server, tmp_path) as there:
        receipt = await there.inject("s", "far", ask(), sender())
    assert receipt.stage == "submitted"
    assert len(far.asked) == 3
    assert len(far.keys) == 1


async def test_a_node_that_stays_away_leaves_the_receipt_in_doubt(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    far.plan = ["drop"] * 100
    async with dispatcher(server, tmp_path) as there:
        receipt = await there.inject("s", "far", ask(timeout_s=0.5), sender("k"))
        assert receipt.stage == "in_doubt"
        far.plan = []
        again = await there.inject("s", "far", ask(), sender("k"))
        assert (again.id, again.stage) == (receipt.id, "submitted")


async def test_a_refusal_is_the_callers_and_leaves_the_key_free(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    far.plan = ["busy"]
    async with dispatcher(server, tmp_path) as there:
        with pytest.raises(SlotBusy):
            await there.inject("s", "far", ask(), sender("k"))
        assert (await there.inject("s", "far", ask("another"), sender("k"))).stage == "submitted"


async def test_a_node_that_is_not_there_is_an_error_and_nothing_is_in_doubt(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    async with dispatcher(server, tmp_path) as there:
        server.close()
        with pytest.raises(PeerError) as failure:
            await there.inject("s", "far", ask(), sender("k"))
        assert failure.value.details["sent"] is False


async def test_a_refusal_after_silence_proves_nothing_until_the_silent_attempt_can_lurk_no_more(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd_core.mesh.peer.ANSWER_TIMEOUT_S", 0.3)
    far.plan = ["silent", "busy", "busy", "busy", "busy", "busy", "busy"]
    async with dispatcher(server, tmp_path) as there:
        receipt = await there.inject("s", "far", ask(timeout_s=1.0), sender("k"))
        assert receipt.stage == "in_doubt"
        missing = there.missing(receipt.id)
        assert missing is not None
        assert missing.stage == "in_doubt"
        later = now_ms() + int(dispatching.LURKS_S * 1000)
        monkeypatch.setattr(dispatching, "now_ms", lambda: later)
        missing = there.missing(receipt.id)
        assert missing is not None
        assert (missing.stage, missing.error.code if missing.error else None) == ("failed", "not_delivered")
        far.plan = ["busy"]
        with pytest.raises(SlotBusy):
            await there.inject("s", "far", ask(timeout_s=1.0), sender("k"))


async def test_a_key_means_one_request_and_one_place(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    async with dispatcher(server, tmp_path) as there:
        first = await there.inject("s", "far", ask(), sender("k"))
        assert (await there.inject("s", "far", ask(), sender("k"))).id == first.id
        with pytest.raises(IdempotencyMismatch):
            await there.inject("s", "far", ask("something else"), sender("k"))
    assert len(far.keys) == 1


async def test_what_was_sent_is_known_to_the_next_daemon(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    far.plan = ["typed, then dropped"]
    async with dispatcher(server, tmp_path) as there:
        receipt = await there.inject("s", "far", ask(timeout_s=0), sender("k"))
        assert receipt.stage == "in_doubt"
    async with dispatcher(server, tmp_path) as there:
        assert (await there.inject("s", "far", ask(), sender("k"))).id == receipt.id
    assert len(far.keys) == 1


@pytest.mark.parametrize("answer", [b"[]", b"\xff", b'{"id": "x@elsewhere", "slot": "s", "node": "elsewhere"}', b""])
async def test_an_answer_that_is_no_receipt_of_that_node_leaves_doubt(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path, answer: bytes
) -> None:
    def garbage(request: Request, reply: Reply) -> None:
        if request.path == "/node":
            far(request, reply)
        else:
            reply.raw(b"HTTP/1.1 200 X\r\nMeshd-Node: far\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    server.handle = garbage
    async with dispatcher(server, tmp_path) as there:
        assert (await there.inject("s", "far", ask(timeout_s=0), sender())).stage == "in_doubt"


def test_dispatches_are_forgotten_with_the_receipts_that_they_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DispatchStore(tmp_path / "dispatches.db")
    there = Dispatcher(store, lambda name: pytest.fail("nobody is asked"))
    dispatch = there.begin("s@far", "mark", Sender("me", {}, "k"))
    there.stays_here(dispatch, "s", "near", "idle")
    assert there.begin("s@far", "mark", Sender("me", {}, "k")).id == dispatch.id
    assert there.begin("s@far", "mark", Sender("you", {}, "k")).id != dispatch.id
    monkeypatch.setattr("meshd_core.mesh.dispatch_store.now_ms", lambda: dispatch.created_ms + KEEP_MS + 1)
    assert there.begin("s@far", "mark", Sender("me", {}, "k")).id != dispatch.id
    store.close()


def test_a_full_disk_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    store = DispatchStore(tmp_path / "dispatches.db")
    store._db.execute("PRAGMA max_page_count = 1")
    there = Dispatcher(store, lambda name: pytest.fail("nobody is asked"))
    dispatch = there.begin("s@far", "m" * 200_000, Sender("me", {}, None))
    with pytest.raises(MeshdError) as failure:
        there.stays_here(dispatch, "s", "near", "idle")
    assert failure.value.code == "overloaded"
    store.close()


async def test_a_node_that_leaves_the_table_meanwhile_leaves_doubt(
    server: ScriptedServer, far: FarNode, sender: Any, tmp_path: Path
) -> None:
    table = {"far": Peer(PeerSection(name="far", url=server.url), "near", lambda ref: "")}

    def peer(name: str) -> Peer:
        if name not in table:
            raise NodeNotFound(f"no node {name}")
        return table[name]

    store = DispatchStore(tmp_path / "dispatches.db")
    far.plan = ["typed, then dropped"]
    first = table["far"]
    sending = asyncio.ensure_future(Dispatcher(store, peer).inject("s", "far", ask(), sender()))
    while not far.keys:
        await asyncio.sleep(0.005)
    del table["far"]
    receipt = await sending
    assert (receipt.stage, len(far.asked)) == ("in_doubt", 1)
    assert receipt.error is not None and "left this node's table" in receipt.error.message
    keyed = sender("k")
    far.plan = ["typed, then dropped"]
    table["far"] = first
    assert (await Dispatcher(store, peer).inject("s", "far", ask(timeout_s=0), keyed)).stage == "in_doubt"
    del table["far"]
    again = await Dispatcher(store, peer).inject("s", "far", ask(timeout_s=0), keyed)
    assert again.stage == "in_doubt" and again.id != receipt.id  # asked again, it may have been typed all the same
    with pytest.raises(NodeNotFound):
        await Dispatcher(store, peer).inject("s", "far", ask(), sender())
    await first.close()
    with pytest.raises(PeerError, match="closed"):
        await first.ask("GET", "/slots")
    store.close()
