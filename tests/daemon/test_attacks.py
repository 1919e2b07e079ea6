"""Attacks on a whole daemon, over TCP (IPv4 and IPv6) and the Unix socket, and what good clients see meanwhile."""

import contextlib
import http.client
import json
import os
import re
import resource
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import NewToken, Slot, TokenList

Hold = Callable[..., list[socket.socket]]
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and prlimit")

AGENT = """
import json, os, socket, sys, time
folder = sys.argv[1]
descriptors = {}
for name in os.listdir("/proc/self/fd"):
    try:
        descriptors[name] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass  # the listing's own
def ask(sock):
    sock.sendall(b"GET /tokens HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    return int(sock.recv(100).split()[1])
def connect(sock):
    sock.connect(folder + "/run/meshd.sock")
own = socket.socket(socket.AF_UNIX)
connect(own)
lent = socket.socket(socket.AF_UNIX)
if os.fork() == 0:
    connect(lent)
    os._exit(0)
os.wait()
found = {"own": ask(own), "lent": ask(lent), "env": dict(os.environ), "fds": descriptors, "argv": sys.argv[2:]}
with open(folder + "/agent.new", "w") as file:
    json.dump(found, file)
os.rename(folder + "/agent.new", folder + "/agent.json")
time.sleep(600)
"""


@pytest.fixture
def daemon(short_tmp: Path, demo_slot: str) -> Iterator[DaemonProcess]:
    """A daemon with a demo agent, on both address families."""
    found = DaemonProcess(short_tmp, demo_slot, {"MESHD_ADMIN_HINT": "secret-of-the-daemon"})
    both = found.config.read_text().replace('bind = ["127.0.0.1"]', 'bind = ["127.0.0.1", "::1"]')
    found.config.write_text(both)
    with found:
        yield found


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Open connections that send `data` and then nothing; closed after the test."""
    made: list[socket.socket] = []

    def connect(daemon: DaemonProcess, count: int, data: bytes, addresses: int = 1) -> list[socket.socket]:
        for n in range(count):
            sock = socket.socket()
            made.append(sock)
            sock.settimeout(5)
            sock.bind((f"127.0.1.{n % addresses + 1}", 0))
            sock.connect(("127.0.0.1", daemon.port))
            # Given up by the daemon already: that is its right.
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
        return made

    yield connect
    for sock in made:
        sock.close()


def test_what_an_agent_is_given_and_what_the_local_socket_gives_it(
    short_tmp: Path, make_daemon: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHD_ADMIN_HINT", "secret-of-the-daemon")
    script = short_tmp / "agent.py"
    script.write_text(AGENT)
    words = json.dumps([sys.executable, str(script), str(short_tmp), "; $(id)", "--version", "`id`", "a\nb"])
    make_daemon(f'[[slots]]\nname = "agent"\nkind = "generic"\ncommand = {words}\n')
    answer = short_tmp / "agent.json"
    eventually(answer.exists, 15, "the agent told nothing")
    found = json.loads(answer.read_text())
    assert found["argv"] == ["; $(id)", "--version", "`id`", "a\nb"], "arguments are words, never a shell's text"
    assert set(found["fds"]) == {"0", "1", "2"} and len(set(found["fds"].values())) == 1, "its terminal alone"
    assert {name for name in found["env"] if name.startswith("MESHD_")} == {"MESHD_RUN", "MESHD_SLOT"}
    assert "secret-of-the-daemon" not in found["env"].values()
    assert found["own"] == 403
    assert found["lent"] == 403, "a connection that was opened by a child that ended since"


@pytest.mark.parametrize("path", ["/stream/demo", "/stream/demo?since=oldest&events=line"])
def test_a_stream_ends_when_its_token_is_revoked_and_others_go_on(daemon: DaemonProcess, path: str) -> None:
    token = msgspec.json.decode(daemon.call("POST", "/tokens", {"scope": "read"}), type=NewToken)
    with (
        contextlib.closing(stream(daemon, token.token, path)) as revoked,
        contextlib.closing(stream(daemon, daemon.token, path)) as good,
    ):
        daemon.inject("demo", "lines 600 50", until="submitted")
        daemon.call("DELETE", f"/tokens/{token.kid}")
        started = time.monotonic()
        said = revoked.read()
        assert time.monotonic() - started < 9
        assert b"event: bye" not in said
        assert good.readline(), "another credential's stream"
    assert daemon.exchange("GET", "/slots", headers={"Authorization": f"Bearer {token.token}"})[0] == 401


def test_a_stream_ends_when_its_token_expires(daemon: DaemonProcess) -> None:
    body = {"scope": "read", "expires": "2s"}
    token = msgspec.json.decode(daemon.call("POST", "/tokens", body), type=NewToken)
    with contextlib.closing(stream(daemon, token.token, "/stream/demo")) as answer:
        started = time.monotonic()
        answer.read()
        assert 0.5 < time.monotonic() - started < 10


def test_a_wait_that_outlives_its_token_tells_nothing(daemon: DaemonProcess) -> None:
    body = {"scope": "read", "expires": "1s"}
    token = msgspec.json.decode(daemon.call("POST", "/tokens", body), type=NewToken)
    headers = {"Authorization": f"Bearer {token.token}"}
    assert daemon.exchange("GET", "/slots/demo", headers=headers)[0] == 200
    status, content = daemon.exchange("GET", "/slots/demo?wait_for=stopped&wait_s=1.5", headers=headers)
    assert status == 401 and b"demo" not in content


def test_silent_clients_of_many_addresses_keep_no_good_one_out(
    daemon: DaemonProcess, hold: Hold, eventually: Any
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    daemon.terminate()
    limit_own_files(300, hard, daemon.start)  # room for 64 connections
    hold(daemon, 200, b"GET /slots HTTP/1.1\r\nHost: loc", addresses=20)
    eventually(lambda: daemon.exchange("GET", "/slots/demo")[0] == 200, 2, "the good client is kept out")
    for _ in range(5):
        assert daemon.get("/slots/demo", Slot).name == "demo"


@linux_only
def test_without_file_descriptors_the_daemon_neither_spins_nor_goes_deaf(
    daemon: DaemonProcess, hold: Hold, eventually: Any
) -> None:
    open_now = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (open_now + 12, hard))
    before_s, log_before = cpu_s(daemon.pid), daemon.log.stat().st_size
    hold(daemon, 60, b"GET /slots HTTP/1.1\r\nHost: loc", addresses=20)
    eventually(lambda: daemon.exchange("GET", "/slots/demo")[0] == 200, 2, "silent connections make no room")

    good = f"GET /slots/demo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token}\r\n\r\n".encode()
    answers = []
    for sock in hold(daemon, 40, good)[60:]:
        with contextlib.suppress(ConnectionError):
            answers.append(sock.recv(65536).partition(b"\r\n")[0])
    assert answers[0] == b"HTTP/1.1 200 OK"
    assert answers[-1] == b"HTTP/1.1 503 Service Unavailable", "with good ones alone there is no room to make"
    assert cpu_s(daemon.pid) - before_s < 2
    assert daemon.log.stat().st_size - log_before < 20_000
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert daemon.get("/slots/demo", Slot).name == "demo"
    assert daemon.inject("demo", "still here").reply == "echo: still here"


def test_knocking_fills_no_log(daemon: DaemonProcess) -> None:
    size = daemon.log.stat().st_size
    wrong = b"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer meshd_a%1b%0aforged\r\n\r\n"
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
        for _ in range(200):
            sock.sendall(wrong)
            assert sock.recv(65536)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
            sock.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 400")
    assert daemon.log.stat().st_size - size < 10_000
    assert b"\nforged" not in daemon.log.read_bytes()


@linux_only
def test_500_good_streams_at_once_all_get_in_and_get_every_line(daemon: DaemonProcess) -> None:
    """As after a restart, when every reader comes back in the same moment."""
    request = (
        f"GET /stream/demo?events=line HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token}\r\n\r\n"
    )
    seen: dict[socket.socket, tuple[int, bytes]] = {}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(500):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", daemon.port))
            selector.register(sock, selectors.EVENT_WRITE)
            seen[sock] = (0, b"")

        def turn() -> None:
            for key, event in selector.select(0.2):
                sock: Any = key.fileobj
                if event & selectors.EVENT_WRITE:
                    sock.sendall(request.encode())
                    selector.modify(sock, selectors.EVENT_READ)
                else:
                    seen[sock] = counted(*seen[sock], sock.recv(1 << 18))

        run_until(turn, lambda: all(held for _, held in seen.values()))
        memory = pss_bytes(daemon.pid)
        daemon.inject("demo", "lines 100 50", until="submitted")
        run_until(turn, lambda: all(last == 100 for last, _ in seen.values()))
        assert pss_bytes(daemon.pid) - memory < 500 * 65536


@linux_only
def test_a_disk_that_takes_nothing_refuses_writes_hurts_no_agent_and_heals(daemon: DaemonProcess) -> None:
    pid = daemon.get("/slots/demo", Slot).pid
    kid = msgspec.json.decode(daemon.call("GET", "/tokens"), type=TokenList).tokens[0].kid
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    for method, path, body in (
        ("POST", "/inject/demo", {"text": "lost"}),
        ("POST", "/tokens", {"scope": "read"}),
        ("DELETE", f"/tokens/{kid}", None),
    ):
        status, content = daemon.exchange(method, path, body)
        assert status == 503 and b'"overloaded"' in content, content
    assert daemon.get("/slots/demo", Slot).pid == pid, "and the token still counts, as the answer said"
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert daemon.inject("demo", "healed").reply == "echo: healed"
    audit = (daemon.state / "audit.jsonl").read_text().splitlines()
    assert json.loads(audit[-1])["action"] == "POST /inject/{slot}"


def test_one_key_at_once_through_every_listener_types_once(
    daemon: DaemonProcess, prompts: Callable[[], list[str]]
) -> None:
    found: list[bytes] = []
    body = json.dumps({"text": "once", "until": "completed"}).encode()

    def inject(target: str) -> None:
        connection = http.client.HTTPConnection(target, daemon.port, timeout=30)
        headers = {
            "Authorization": f"Bearer {daemon.token}",
            "Idempotency-Key": "k",
            "Content-Type": "application/json",
        }
        with contextlib.closing(connection):
            connection.request("POST", "/inject/demo", body, headers)
            found.append(connection.getresponse().read())

    threads = [threading.Thread(target=inject, args=(("127.0.0.1", "::1")[n % 2],)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert len(found) == 20
    assert {json.loads(one)["reply"] for one in found} == {"echo: once"}
    assert len({json.loads(one)["id"] for one in found}) == 1
    assert prompts() == ["once"]


def test_a_prompt_cannot_end_its_own_paste(daemon: DaemonProcess, prompts: Callable[[], list[str]]) -> None:
    receipt = daemon.inject("demo", "a\x1b[201~\rexit 3\r\x1b[200~\x9b201~\x03b")
    assert receipt.stage == "completed"
    assert {"paste_marks_removed", "control_characters_removed"} <= set(receipt.changes)
    assert len(prompts()) == 1
    assert daemon.get("/slots/demo", Slot).status == "running"


def stream(daemon: DaemonProcess, token: str, path: str) -> http.client.HTTPResponse:
    """An open stream, its first bytes not read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=12)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Connection": "close"})
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def counted(last: int, held: bytes, data: bytes) -> tuple[int, bytes]:
    """The number of the last `line N` seen, and what is left; a number twice, or left out, fails the test."""
    assert data, "the daemon closed a good stream"
    whole, mark, rest = (held + data).rpartition(b"\n\n")
    for found in re.finditer(rb'"text":"line (\d+)"', whole):
        assert int(found[1]) == last + 1
        last += 1
    return last, mark + rest


def run_until(turn: Callable[[], None], condition: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        turn()


def limit_own_files(soft: int, hard: int, work: Callable[[], None]) -> None:
    """Do `work`, whose child processes may open `soft` files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        work()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int) -> int:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
