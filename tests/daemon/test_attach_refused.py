"""Who may not attach, who may not stay, and what a hostile client of an attached terminal gets."""

import socket
import struct
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import NewToken, Ticket
from tests.daemon.attached import attached, refusal
from tests.daemon.test_filters import PLUGIN

HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)


@pytest.fixture
def daemon(make_daemon: Any, demo_slot: str) -> DaemonProcess:
    made: DaemonProcess = make_daemon(demo_slot)
    made.wait_for("demo", "idle")
    return made


def token(daemon: DaemonProcess, scope: str, *slots: str) -> NewToken:
    body = {"scope": scope, "slots": slots or ["*"]}
    return json_of(daemon.call("POST", "/tokens", body), NewToken)


def json_of(data: bytes, kind: Any) -> Any:
    return msgspec.json.decode(data, type=kind)


def raw(daemon: DaemonProcess, target: str = "/attach/demo", more: str = "", request: str = HANDSHAKE) -> socket.socket:
    """A connection on which the handshake was sent and nothing read."""
    sock = socket.create_connection(("127.0.0.1", daemon.port), timeout=15)
    sock.sendall(request.format(target=target, token=daemon.token, more=more).encode())
    return sock


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """One frame, as right or wrong as asked for."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | opcode])
    mark = 0x80 if masked else 0
    if size < 126:
        head += bytes([mark | size])
    elif size < 65536:
        head += bytes([mark | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mark | 127]) + struct.pack(">Q", size)
    mask = b"\x01\x02\x03\x04"
    return head + (mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload)


def close_code(sock: socket.socket) -> int | None:
    """The code with which the daemon closes; None if it just goes. Whatever else it sends is passed over."""
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    at = data.rfind(b"\x88")
    return None if at < 0 else struct.unpack(">H", data[at + 2 : at + 4])[0]


def test_every_check_of_a_request_holds_for_the_handshake(daemon: DaemonProcess) -> None:
    assert refusal(daemon, token=None) == (401, "unauthorized")
    assert refusal(daemon, token="meshd_aaaaaaaa_" + "A" * 43) == (401, "unauthorized")
    assert refusal(daemon, f"/attach/demo?token={daemon.token}", token=None) == (401, "unauthorized")
    assert refusal(daemon, Origin="http://evil.example") == (403, "origin_not_allowed")
    assert refusal(daemon, Origin="null") == (403, "origin_not_allowed")
    assert refusal(daemon, token=token(daemon, "approve").token) == (403, "forbidden")
    assert refusal(daemon, token=token(daemon, "control", "other").token) == (404, "slot_not_found")
    assert refusal(daemon, "/attach/nope") == (404, "slot_not_found")
    assert refusal(daemon, "/attach/demo/") == (404, "not_found")
    for query in ("mode=admin", "rows=5", "cols=40", "rows=0&cols=40", "rows=30&cols=90&mode=view", "x=1", "mode="):
        assert refusal(daemon, f"/attach/demo?{query}") == (422, "invalid_field"), query
    with attached(daemon, "/attach/demo?mode=view", token=token(daemon, "read").token):
        pass
    with attached(daemon, Origin=f"http://127.0.0.1:{daemon.port}"):
        pass
    daemon.call("POST", "/stop/demo", {})
    assert refusal(daemon) == (409, "slot_not_running")


NO_HANDSHAKES = (
    ("Host: 127.0.0.1", "Host: evil.example", b" 421 "),
    ("Upgrade: websocket\r\n", "", b" 400 "),
    ("Upgrade: websocket", "Upgrade: h2c", b" 400 "),
    ("Connection: Upgrade\r\n", "", b" 400 "),
    ("Version: 13", "Version: 8", b" 400 "),
    ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "", b" 400 "),
    (" HTTP/1.1", " HTTP/1.0", b" 400 "),
    ("Upgrade: websocket\r\n", "Upgrade: websocket\r\nContent-Length: 5\r\n", b" 400 "),
    ("GET ", "POST ", b" 405 "),
)


def test_what_is_no_handshake_gets_an_http_error(daemon: DaemonProcess) -> None:
    for old, new, status in NO_HANDSHAKES:
        with raw(daemon, request=HANDSHAKE.replace(old, new)) as sock:
            answer = sock.recv(65536)
            assert status in answer.split(b"\r\n")[0], (old, new, answer)
            assert b'{"error":' in answer, (old, new)


def test_a_refused_handshake_leaves_a_connection_that_still_works(daemon: DaemonProcess) -> None:
    with raw(daemon, "/attach/nope") as sock:
        assert b" 404 " in sock.recv(65536)
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in sock.recv(65536)


def test_a_ticket_is_good_once_for_its_path_alone(daemon: DaemonProcess) -> None:
    reader = token(daemon, "read", "demo")

    def ticket(path: str, by: str = daemon.token) -> str:
        headers = {"Authorization": f"Bearer {by}"}
        return json_of(daemon.call("POST", "/tickets", {"path": path}, headers=headers), Ticket).ticket

    good = ticket("/attach/demo?mode=view", reader.token)
    with attached(daemon, f"/attach/demo?mode=view&ticket={good}", token=None) as viewer:
        assert viewer.hello["mode"] == "view"
        assert refusal(daemon, f"/attach/demo?mode=view&ticket={good}", token=None) == (401, "unauthorized")
    for target in ("/attach/demo?ticket={}", "/attach/other?mode=view&ticket={}"):
        one = ticket("/attach/demo?mode=view")
        assert refusal(daemon, target.format(one), token=None) == (401, "unauthorized"), target
        # Used up by the wrong try.
        assert refusal(daemon, f"/attach/demo?mode=view&ticket={one}", token=None) == (401, "unauthorized"), target
    moved = f"/attach/demo?ticket={ticket('/attach/demo?mode=view')}&mode=view"
    assert refusal(daemon, moved, token=None) == (401, "unauthorized")
    plain = ticket("/attach/demo")
    status, _ = daemon.exchange("GET", f"/slots?ticket={plain}", headers={"Authorization": ""})
    assert status == 401
    with attached(daemon, f"/attach/demo?ticket={plain}", token=None) as person:
        assert person.hello["mode"] == "control"


NO_TICKETS = (
        ("/attach/demo", 403), ("/attach/nope?mode=view", 404), ("/attach/demo?mode=admin", 422), ("/slots", 422),
        ("/attach/demo?mode=view&ticket=x", 422), ("/attach/demo?mode=view&mode=view", 422), ("", 422),
        ("/attach/demo?mode=view&rows=30&cols=90", 422), ("/attach/demo\r\nX: y", 422), ("/attach/" + "d" * 5000, 422),
)  # fmt: skip


def test_a_ticket_is_refused_where_its_use_would_be(daemon: DaemonProcess) -> None:
    reader = token(daemon, "read", "demo")
    for path, expected in NO_TICKETS:
        headers = {"Authorization": f"Bearer {reader.token}"}
        status, _ = daemon.exchange("POST", "/tickets", {"path": path}, headers=headers)
        assert status == expected, path


def test_a_ticket_dies_with_its_token_and_so_does_what_it_opened(daemon: DaemonProcess) -> None:
    reader = token(daemon, "read")
    headers = {"Authorization": f"Bearer {reader.token}"}
    path = "/attach/demo?mode=view"
    first, second = (
        json_of(daemon.call("POST", "/tickets", {"path": path}, headers=headers), Ticket).ticket for _ in range(2)
    )
    with attached(daemon, f"{path}&ticket={first}", token=None) as viewer:
        daemon.call("DELETE", f"/tokens/{reader.kid}")
        assert refusal(daemon, f"{path}&ticket={second}", token=None) == (401, "unauthorized")
        began = time.monotonic()
        viewer.until(lambda: viewer.closed)
        assert time.monotonic() - began < 9
        assert viewer.closed is not None
        assert viewer.closed.rcvd is not None
        assert viewer.closed.rcvd.code == 1008


def test_a_stalled_viewer_whose_token_ends_is_thrown_out_too(daemon: DaemonProcess) -> None:
    reader = token(daemon, "read")
    request = HANDSHAKE.replace("{token}", reader.token)
    with raw(daemon, "/attach/demo?mode=view", request=request) as still:
        assert still.recv(12) == b"HTTP/1.1 101"
        daemon.inject("demo", "lines 60000 30000", until="submitted")
        daemon.wait_for("demo", "idle", 60)
        daemon.call("DELETE", f"/tokens/{reader.kid}")
        deadline = time.monotonic() + 12
        while '"detach"' not in (daemon.state / "audit.jsonl").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)


BROKEN = (
    (frame(2, b"x" * 70_000), 1009),
    (frame(2, b"x" * 100, length=2**40), 1009),
    (b"".join(frame(2 if not at else 0, b"x" * 1000, final=False) for at in range(80)), 1009),
    (frame(2, b"x", masked=False), 1002),
    (frame(3, b"x"), 1002),
    (frame(0, b"x"), 1002),
    (frame(9, b"x" * 126), 1002),
    (frame(1, b"\xff\xfe"), 1007),
    (frame(8, struct.pack(">H", 1000)), 1000),
    (b"\x8f" + bytes(range(256)) * 16, None),
)


def test_a_broken_frame_ends_only_its_own_connection(daemon: DaemonProcess) -> None:
    for sent, code in BROKEN:
        with raw(daemon) as sock:
            assert sock.recv(12) == b"HTTP/1.1 101"
            sock.sendall(sent)
            if code == 1009 and len(sent) < 1000:
                for _ in range(80):  # more of the message that was announced so long
                    sock.sendall(b"y" * 1000)
            assert close_code(sock) == code or code is None, sent[:20]
    with attached(daemon) as person:
        person.type("still here\r")
        person.until(lambda: person.shows("still here"))


def test_floods_of_pings_and_of_tiny_messages_take_no_room(daemon: DaemonProcess) -> None:
    def resident() -> int:
        text = Path(f"/proc/{daemon.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) * 1024

    with raw(daemon, "/attach/demo?mode=view") as pings, raw(daemon, "/attach/demo?mode=view") as tiny:
        before = resident()
        for sock, piece in ((pings, frame(9, b"p" * 100)), (tiny, frame(2, b""))):
            sock.settimeout(0.5)
            try:
                for _ in range(2000):
                    sock.sendall(piece * 100)
            except TimeoutError:
                pass  # it takes no more: that is the bound
        daemon.call("GET", "/slots/demo")
        assert resident() - before < 8 * 1024 * 1024


def test_raw_bytes_are_refused_where_a_filter_must_not_be_passed_by(short_tmp: Path) -> None:
    site = short_tmp / "site"
    info = site / "swapper-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "swapper.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swapper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nswapper = swapper\n")
    slots = "".join(
        f'[[slots]]\nname = "{name}"\nkind = "demo"\nfilters = ["first"]\n{more}'
        for name, more in (("demo", ""), ("allowed", 'raw = "allow"\n'))
    )
    with DaemonProcess(short_tmp, slots, {"PYTHONPATH": str(site)}) as daemon:
        daemon.wait_for("demo", "idle")
        daemon.wait_for("allowed", "idle")
        assert refusal(daemon) == (403, "forbidden")
        assert refusal(daemon, "/attach/demo?mode=view") == (403, "forbidden")
        with pytest.raises(HttpFailure) as refused:
            daemon.call("POST", "/tickets", {"path": "/attach/demo?mode=view"})
        assert refused.value.status == 403
        with attached(daemon, "/attach/allowed") as person:
            person.until(lambda: person.shows("demo agent ready"))
