"""A peer is asked only if it is who it should be, within bounds, and costs nothing while it fails."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meshd_core.config.addresses import is_private, may_be_private
from meshd_core.config.model import PeerSection
from meshd_core.config.secrets import resolve
from meshd_core.contracts.secrets import SecretRef
from meshd_core.errors import PeerError, PeerTimeout
from meshd_core.mesh.breaker import FAILURES, LONGEST_PAUSE_S, Breaker
from meshd_core.mesh.peer import MAX_PROBE_BYTES, Peer
from tests.client.scripted_server import Reply, Request, ScriptedServer
from tests.mesh.network import own_address

pytestmark = pytest.mark.anyio

TOKEN = "meshd_aaaaaaaa_" + "s" * 43


class FarNode:
    """What a scripted server answers as a node; tests bend it."""

    def __init__(self) -> None:
        self.name = "mac2"
        self.header: str | None = "mac2"
        self.now = "2026-11-23T10:00:00.000Z"
        self.content: bytes = b'{"slots":[]}'
        self.status = 200

    def __call__(self, request: Request, reply: Reply) -> None:
        if request.path == "/node":
            counts = {"total": 0, "by_status": {}, "by_activity": {}}
            about = {
                "name": self.name, "boot_id": "b1", "version": "9.0.0", "protocol": "1.7", "features": ["mesh", "new"],
                "now": self.now, "started_at": self.now, "pid": 1, "slots": counts, "load": [], "later": {"x": 1},
            }  # fmt: skip
            self.send(reply, 200, json.dumps(about).encode())
        else:
            self.send(reply, self.status, self.content)

    def send(self, reply: Reply, status: int, content: bytes) -> None:
        named = f"Meshd-Node: {self.header}\r\n" if self.header else ""
        head = f"HTTP/1.1 {status} X\r\n{named}Location: http://127.0.0.1:1/\r\nContent-Length: {len(content)}\r\n\r\n"
        reply.raw(head.encode() + content)


@pytest.fixture
def far(server: ScriptedServer) -> FarNode:
    node = FarNode()
    server.handle = node
    return node


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer(socket.create_server(("127.0.0.1", 0))).start()
    yield running
    running.close()


@asynccontextmanager
async def peer_at(url: str, base: Path, **more: Any) -> AsyncIterator[Peer]:
    (base / "peer.token").write_text(TOKEN + "\n")
    section = PeerSection(name="mac2", url=url, token=SecretRef(file="peer.token"), **more)
    peer = Peer(section, "mac1", lambda ref: resolve(ref, base))
    try:
        yield peer
    finally:
        await peer.close()


async def test_an_answer_of_the_right_node_comes_back(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    async with peer_at(server.url, tmp_path) as peer:
        assert not peer.info().reachable
        answer = await peer.ask("GET", "/slots", headers={"Meshd-Subject": "token:x"})
        assert (answer.status, answer.body) == (200, b'{"slots":[]}')
        info = peer.info()
    assert [request.target for request in server.requests] == ["/node", "/slots"]
    sent = server.requests[1].headers
    assert sent["authorization"] == f"Bearer {TOKEN}"
    assert (sent["meshd-via"], sent["meshd-subject"]) == ("mac1", "token:x")
    assert (info.reachable, info.version, info.boot_id, info.features) == (True, "9.0.0", "b1", ["mesh", "new"])
    assert info.rtt_ms is not None and info.rtt_ms < 1000
    assert info.skew_s is not None and abs(info.skew_s) > 1000  # its clock stands in the past


async def test_nothing_but_the_probe_is_sent_to_a_node_of_another_name(
    server: ScriptedServer, far: FarNode, tmp_path: Path
) -> None:
    far.name = far.header = "mallory"
    async with peer_at(server.url, tmp_path) as peer:
        for _ in range(2):
            with pytest.raises(PeerError) as caught:
                await peer.ask("POST", "/inject/x", body=b'{"text":"rm -rf"}')
            assert caught.value.details["outcome"] == "wrong_name"
        assert "mallory" in (peer.info().error or "")
        far.name = far.header = "mac2"
        assert (await peer.ask("GET", "/slots")).status == 200
    assert [request.target for request in server.requests] == ["/node", "/node", "/node", "/slots"]


async def test_an_answer_of_another_node_is_refused(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    async with peer_at(server.url, tmp_path) as peer:
        await peer.probe()
        for header, outcome in (("mallory", "wrong_name"), (None, "garbage")):
            far.header = header
            with pytest.raises(PeerError) as caught:
                await peer.ask("GET", "/slots")
            assert caught.value.details == {"node": "mac2", "outcome": outcome, "sent": True}


async def test_a_redirect_is_not_followed(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    far.status = 307
    async with peer_at(server.url, tmp_path) as peer:
        with pytest.raises(PeerError, match="307"):
            await peer.ask("GET", "/slots")
    assert [request.target for request in server.requests] == ["/node", "/slots"]


@pytest.mark.parametrize(("status", "outcome"), [(401, "refused"), (421, "refused"), (429, "refused")])
async def test_a_node_that_refuses_this_one_is_named(
    server: ScriptedServer, far: FarNode, tmp_path: Path, status: int, outcome: str
) -> None:
    far.status = status
    async with peer_at(server.url, tmp_path) as peer:
        with pytest.raises(PeerError) as caught:
            await peer.ask("GET", "/slots")
        assert caught.value.details["outcome"] == outcome
        assert TOKEN not in str(caught.value) + str(peer.info())


async def test_a_full_queue_is_an_answer_and_says_nothing_about_the_node(
    server: ScriptedServer, far: FarNode, tmp_path: Path
) -> None:
    far.status, far.content = 429, b'{"error":{"code":"queue_full","message":"100 prompts wait"}}'
    async with peer_at(server.url, tmp_path) as peer:
        for _ in range(5):
            assert (await peer.ask("POST", "/inject/x", body=b"{}")).status == 429
        assert peer.info().reachable


async def test_errors_of_the_protocol_are_answers(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    far.status, far.content = 404, b'{"error":{"code":"slot_not_found","message":"no"}}'
    async with peer_at(server.url, tmp_path) as peer:
        for _ in range(5):
            assert (await peer.ask("GET", "/slots/x")).status == 404
        assert peer.info().reachable


async def test_an_answer_that_never_ends_is_cut_off(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    sent = 0

    def flood(request: Request, reply: Reply) -> None:
        nonlocal sent
        if request.path == "/node" and sent < 0:
            far(request, reply)
            return
        reply.raw(b"HTTP/1.1 200 OK\r\nMeshd-Node: mac2\r\nContent-Length: 1000000000\r\n\r\n")
        while not reply.dropped:
            reply.raw(b" " * 65536)
            sent += 65536

    server.handle = flood
    async with peer_at(server.url, tmp_path) as peer:
        with pytest.raises(PeerError, match=f"more than {MAX_PROBE_BYTES} bytes"):
            await peer.probe()
        assert sent < 50_000_000
        sent = -(10**9)
        server.handle = lambda request, reply: (far if request.path == "/node" else flood)(request, reply)
        with pytest.raises(PeerError) as caught:
            await peer.ask("GET", "/slots", max_bytes=100_000)
        assert caught.value.details["outcome"] == "garbage"


@pytest.mark.parametrize("noise", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x00\xff" * 4000, b"HTTP/1.1 200 OK\r\n\r\n", b""])
async def test_garbage_is_an_error_that_names_the_node(server: ScriptedServer, tmp_path: Path, noise: bytes) -> None:
    def babble(request: Request, reply: Reply) -> None:
        reply.raw(noise)
        reply.drop()

    server.handle = babble
    async with peer_at(server.url, tmp_path) as peer:
        with pytest.raises(PeerError, match="mac2"):
            await peer.ask("GET", "/slots")
        assert peer.info().error


async def test_a_node_that_can_not_be_connected_to_has_got_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with peer_at(f"http://127.0.0.1:{port}", tmp_path) as peer:
        for _ in range(FAILURES):
            with pytest.raises(PeerError) as caught:
                await peer.ask("POST", "/inject/x", body=b"{}")
            assert caught.value.details["sent"] is False
        assert peer.retry_in_s() > 0
        begun = time.monotonic()
        with pytest.raises(PeerError, match="nothing listens there") as caught:
            await peer.ask("POST", "/inject/x", body=b"{}")
        assert time.monotonic() - begun < 0.05
        assert caught.value.details["sent"] is False


async def test_a_silent_node_times_out(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    server.handle = lambda request, reply: far(request, reply) if request.path == "/node" else reply.until_closed()
    async with peer_at(server.url, tmp_path) as peer:
        with pytest.raises(PeerTimeout) as caught:
            await peer.ask("POST", "/inject/x", body=b"{}", timeout_s=-4.5)
        assert caught.value.details["sent"] is True
        assert peer.info().error


async def test_a_stream_is_read_as_it_comes(server: ScriptedServer, far: FarNode, tmp_path: Path) -> None:
    def stream(request: Request, reply: Reply) -> None:
        if request.path == "/node":
            far(request, reply)
            return
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMeshd-Node: mac2\r\n")
        reply.raw(b"Transfer-Encoding: chunked\r\n\r\n")
        reply.lines(1, 2)
        reply.drop()

    server.handle = stream
    async with peer_at(server.url, tmp_path) as peer:
        got = bytearray()
        with pytest.raises(PeerError, match="closed before"):
            await _read(peer, got)
        assert got.count(b"event: line") == 2
    assert server.requests[1].headers.get("last-event-id") == "e1-0"


async def _read(peer: Peer, into: bytearray) -> None:
    async with peer.stream("/stream/x", {"Last-Event-ID": "e1-0"}) as events:
        async for chunk in events.chunks():
            into += chunk


async def test_plain_http_goes_nowhere_else_whatever_a_name_leads_to(tmp_path: Path) -> None:
    listener = socket.create_server(("0.0.0.0", 0))
    address = own_address()
    if address is None or may_be_private(address):
        pytest.skip("this machine has no address that is neither loopback nor a tailnet's")
    with listener:
        async with peer_at(f"http://{address}:{listener.getsockname()[1]}", tmp_path) as peer:
            with pytest.raises(PeerError, match="not allowed") as caught:
                await peer.ask("GET", "/slots")
            assert caught.value.details["sent"] is False


def test_addresses_of_loopback_and_tailnets_are_private() -> None:
    for host in (
        "127.0.0.1",
        "::1",
        "100.64.0.1",
        "100.127.255.255",
        "fd7a:115c:a1e0::1",
        "localhost",
        "mac2",
        "x.ts.net",
    ):
        assert may_be_private(host), host
    for host in ("10.0.0.1", "192.168.1.1", "100.128.0.1", "169.254.169.254", "fd00::1", "example.com", "0.0.0.0"):
        assert not may_be_private(host), host
    import ipaddress

    assert is_private(ipaddress.ip_address("::ffff:127.0.0.1"))
    assert not is_private(ipaddress.ip_address("::ffff:10.0.0.1"))


def test_a_breaker_lets_one_call_through_after_each_pause() -> None:
    now = 100.0
    breaker = Breaker(lambda: now)
    for _ in range(FAILURES):
        assert breaker.admit()
        breaker.failed()
    waits = []
    for _ in range(30):
        assert not breaker.admit()
        waits.append(breaker.wait_s())
        now += breaker.wait_s()
        assert breaker.admit()
        assert not breaker.admit()  # the others wait for the one
        breaker.failed()
    assert all(1.0 <= wait <= LONGEST_PAUSE_S for wait in waits)
    assert max(waits) > 4.0
    assert len(set(waits)) > 20  # never in step
    breaker.succeeded()
    assert breaker.admit() and breaker.admit()


@pytest.mark.parametrize("url", ["https://a..b:1", f"https://{'a' * 300}:1", "https://a b:1", "https://1.2.3.400:1"])
async def test_a_host_that_can_not_be_is_an_error_of_the_node(url: str, tmp_path: Path) -> None:
    async with peer_at(url, tmp_path) as peer:
        with pytest.raises((PeerError, PeerTimeout)) as caught:
            await peer.probe()
        assert "mac2" in str(caught.value) and peer.info().error


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path) -> None:
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    files = ["-subj", "/CN=mac2", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate needs the command 'openssl'")
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    greeted = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with greeted, peer_at(f"https://127.0.0.1:{greeted.sockets[0].getsockname()[1]}", tmp_path) as peer:
        with pytest.raises(PeerError, match="certificate") as caught:
            await peer.ask("POST", "/inject/x", body=b"{}")
        assert caught.value.details["sent"] is False


async def test_a_machine_that_vanishes_is_noticed_by_the_kernel(server: ScriptedServer, tmp_path: Path) -> None:
    async with peer_at(server.url, tmp_path) as peer:
        sock = peer._requester._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)))
        with sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
