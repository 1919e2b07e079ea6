"""Malformed, oversized, slow and smuggled requests: each costs little, and a good client never notices."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshd_core.http import exchange, protocol
from meshd_core.http.limits import Admission

Running = Any
Serve = Callable[..., Any]


def post(running: Running, path: str, body: bytes, **headers: str) -> Any:
    given = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return running.ask("POST", path, body, headers=given)


def send_raw(running: Running, data: bytes, family: str = "v4") -> bytes:
    with running.connect(family) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                parts.append(part)
        return b"".join(parts)


def head(running: Running, line: str, *headers: str) -> bytes:
    every = (line, "Host: localhost", f"Authorization: Bearer {running.admin}", *headers)
    return "\r\n".join(every).encode() + b"\r\n\r\n"


def test_a_body_needs_its_content_type(running: Running) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""):
        answer = running.ask("POST", "/inject/demo", b'{"text": "x"}', headers={"Content-Type": kind})
        assert (answer.status, answer.code) == (415, "json_required"), kind
        assert running.ask("POST", "/start/demo", b"x=1", headers={"Content-Type": kind}).status == 415
    assert post(running, "/inject/demo", b'{"text": "x"}', Content_Type="Application/JSON; charset=utf-8").status == 200
    assert len(running.node.typed) == 1


def test_a_compressed_body_is_refused(running: Running) -> None:
    assert post(running, "/inject/demo", b"\x1f\x8b", Content_Encoding="gzip").status == 415


def test_no_body_is_fine_where_every_field_has_a_default(running: Running) -> None:
    assert running.ask("POST", "/start/demo").status == 200
    assert running.ask("POST", "/stop/demo", {"grace_s": 1.5}).status == 200
    assert running.ask("POST", "/shutdown", {}).json == {"status": "draining", "agents": "stop"}
    assert running.node.calls == ["start demo False", "stop demo 1.5"]
    assert running.ask("POST", "/inject/demo").code == "invalid_json"


def test_bodies_that_are_not_what_they_should_be(running: Running) -> None:
    cases = {
        b"{": (400, "invalid_json"),
        b"\xff\xfe": (400, "invalid_json"),
        b'{"text": "\xff"}': (400, "invalid_json"),
        b'{"text": "\\ud800"}': (400, "invalid_json"),
        b"null": (422, "invalid_field"),
        b"[]": (422, "invalid_field"),
        b"{}": (422, "invalid_field"),
        b'{"text": 1}': (422, "invalid_field"),
        b'{"text": "a", "more": 1}': (422, "invalid_field"),
        b'{"text": "a", "when": "later"}': (422, "invalid_field"),
        b'{"text": "a", "timeout_s": 1e400}': (422, "invalid_field"),
        b'{"text": "a", "timeout_s": NaN}': (400, "invalid_json"),
    }
    for body, expected in cases.items():
        answer = post(running, "/inject/demo", body)
        assert (answer.status, answer.code) == expected, body
    for bomb in (b"[" * 500_000, b'{"a":' * 150_000, b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        assert post(running, "/inject/demo", bomb).status in (400, 422)
    assert not running.node.typed


def test_a_prompt_may_have_256_kib_and_a_body_1_mib(running: Running) -> None:
    assert running.ask("POST", "/inject/demo", {"text": "x" * 256 * 1024}).status == 200
    assert running.ask("POST", "/inject/demo", {"text": "x" * (256 * 1024 + 1)}).code == "too_large"
    assert running.ask("POST", "/inject/demo", {"text": "é" * (128 * 1024 + 1)}).code == "too_large"
    answer = post(running, "/inject/demo", b" " * (5 * 1024 * 1024))
    assert (answer.status, answer.code) == (413, "too_large")
    claimed = head(
        running, "POST /inject/demo HTTP/1.1", "Content-Type: application/json", "Content-Length: 99999999999"
    )
    assert send_raw(running, claimed).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_counted_as_it_comes(running: Running) -> None:
    chunked = head(
        running, "POST /inject/demo HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    good = b'd\r\n{"text": "c"}\r\n0\r\n\r\n'
    with running.connect() as sock:
        sock.sendall(chunked + good)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    piece = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    assert send_raw(running, chunked + piece * 200).startswith(b"HTTP/1.1 413")
    bare = head(running, "POST /start/demo HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close")
    assert send_raw(running, bare + b"0\r\n\r\n").startswith(b"HTTP/1.1 200"), "an empty body needs no type"
    assert send_raw(running, bare + b"1\r\nx\r\n0\r\n\r\n").startswith(b"HTTP/1.1 415")


def test_content_length_with_transfer_encoding_is_refused_and_nothing_after_it_is_read(running: Running) -> None:
    smuggled = b"POST /stop/demo HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lengths in (
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 0"),
    ):
        request = head(running, "POST /start/demo HTTP/1.1", "Content-Type: application/json", *lengths)
        answer = send_raw(running, request + b"0\r\n\r\n" + smuggled)
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer.lower()
    for lengths in (("Content-Length: 5", "Content-Length: 6"), ("Content-Length: -1",), ("Transfer-Encoding: x",)):
        request = head(running, "POST /start/demo HTTP/1.1", *lengths)
        assert send_raw(running, request + b"12345").startswith(b"HTTP/1.1 400")
    assert not running.node.calls


def test_huge_headers_are_refused(running: Running) -> None:
    for request in (
        head(running, "GET /slots HTTP/1.1", "X: " + "a" * 5_000_000),
        head(running, "GET /slots HTTP/1.1", "X: " + "a" * 40_000, "Connection: close"),
        head(running, "GET /slots HTTP/1.1", "Connection: close", *(f"X{n}: y" for n in range(200))),
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ):
        answer = send_raw(running, request)
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413", b""), answer[:100]
    assert running.ask("GET", "/slots").status == 200


@pytest.mark.parametrize("family", ["v4", "unix"])
def test_what_is_no_http_gets_an_error_in_our_form(running: Running, family: str) -> None:
    for junk in (b"\x16\x03\x01\x02\x00\x01", b"HELO there\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  /\r\n\r\n"):
        with running.connect(family) as sock:
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(65536)
        if answer:
            assert answer.startswith(b"HTTP/1.1 400")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"


def test_odd_names_in_paths_are_simply_not_found(running: Running) -> None:
    for name in ("..", "%2e%2e", "..%2f..%2fetc", "a%00b", "a%0d%0ab", "%ff", "a" * 5000, "demo%2f", "demo@", "@mac1"):
        answer = running.ask("GET", f"/slots/{name}")
        assert answer.status in (404, 200 if name == "demo@" else 404), name
    assert running.ask("GET", "/slots/demo@mac1").status == 200
    assert running.ask("GET", "/slots/demo%40mac1").status == 200
    assert running.ask("GET", "/slots/demo@mac2").code == "node_not_found"
    assert running.ask("GET", "/slots/demo/").code == "not_found"


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    one = head(running, "GET /slots/demo HTTP/1.1")
    last = head(running, "GET /nope HTTP/1.1", "Connection: close")
    answer = send_raw(running, one + one + last)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]


def test_a_refused_request_leaves_a_connection_that_still_works(running: Running) -> None:
    wrong = b"POST /inject/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
    answer = send_raw(running, wrong + head(running, "GET /slots/demo HTTP/1.1", "Connection: close"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"401", b"200"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_DEADLINE_S", 0.6)
    monkeypatch.setattr(exchange, "BODY_DEADLINE_S", 0.6)


@pytest.mark.usefixtures("impatient")
def test_slow_headers_are_cut_off_however_they_drip(running: Running) -> None:
    begun = time.monotonic()
    with running.connect() as silent, running.connect() as dripping, drip(dripping):
        assert silent.recv(100) == b""
        assert ended(dripping)
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("impatient")
def test_slow_headers_of_a_second_request_are_cut_off_too(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(head(running, "GET /health HTTP/1.1"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        with drip(sock):
            assert ended(sock)


@pytest.mark.usefixtures("impatient")
def test_a_slow_body_is_cut_off(running: Running) -> None:
    request = head(running, "POST /inject/demo HTTP/1.1", "Content-Type: application/json", "Content-Length: 100000")
    with running.connect() as sock:
        sock.sendall(request)
        with drip(sock):
            answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"did not arrive" in answer


def test_200_slow_clients_keep_no_good_one_out(serve: Serve) -> None:
    admission = Admission(max_connections=1000, max_unknown=50, burst_s=0)
    with serve(admission=admission) as running, contextlib.ExitStack() as stack:
        good = stack.enter_context(running.connect())
        good.sendall(head(running, "GET /slots/demo HTTP/1.1"))
        assert good.recv(65536).startswith(b"HTTP/1.1 200")
        for _ in range(200):
            slow = stack.enter_context(running.connect())
            slow.sendall(b"GET /slots HTTP/1.1\r\n")
        assert running.ask("GET", "/slots/demo").status == 200
        good.sendall(head(running, "GET /slots/demo HTTP/1.1"))
        assert good.recv(65536).startswith(b"HTTP/1.1 200"), "a connection with a credential is never evicted"
        assert running.call(admission.unknown) <= 50
        assert admission.evicted >= 150


def test_too_many_connections_in_all_are_told_so(serve: Serve) -> None:
    with serve(admission=Admission(max_connections=3)) as running, contextlib.ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(running.connect())
            held.sendall(head(running, "GET /slots/demo HTTP/1.1"))
            assert held.recv(65536).startswith(b"HTTP/1.1 200")
        with running.connect() as one_more:
            answer = one_more.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"overloaded"' in answer


def test_one_key_fifty_times_at_once_types_once(running: Running) -> None:
    found: list[Any] = []

    def inject() -> None:
        found.append(running.ask("POST", "/inject/demo", {"text": "once"}, headers={"Idempotency-Key": "k1"}))

    threads = [threading.Thread(target=inject) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {answer.status for answer in found} == {200}
    assert len({answer.json["id"] for answer in found}) == 1
    assert running.node.typed == ["once"]
    other = running.ask("POST", "/inject/demo", {"text": "other"}, headers={"Idempotency-Key": "k1"})
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    for bad in (" x", "a b", "x" * 201, "\xe9"):
        answer = running.ask("POST", "/inject/demo", {"text": "x"}, headers={"Idempotency-Key": bad})
        assert answer.status == (200 if bad == " x" else 422), bad


@contextlib.contextmanager
def drip(sock: socket.socket) -> Iterator[None]:
    """Send a byte now and then while open: what a slow client does to look alive."""
    stop = threading.Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                sock.sendall(b"x")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def ended(sock: socket.socket) -> bool:
    """Whether the server closes the connection without an answer."""
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True
