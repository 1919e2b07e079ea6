"""What comes out of a terminal, however ugly, and what readers get of it."""

import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import Health, SlotDetail
from tests.bench import crowd


def program(short_tmp: Path, code: str, name: str = "program") -> str:
    file = short_tmp / f"{name}.py"
    file.write_text(code)
    return f'[[slots]]\nname = "{name}"\nkind = "generic"\ncommand = [{sys.executable!r}, {str(file)!r}]\n'


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_invalid_utf8_escapes_and_split_glyphs_never_lose_a_later_line(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    code = r"""
import os, random, time
chance = random.Random(5)
for number in range(300):
    os.write(1, bytes(chance.randrange(256) for _ in range(80)).replace(b"\x1bP", b"").replace(b"\x1b]", b""))
    os.write(1, b"\x1b\\\x18\x1b[0m\r\n")
    glyph = "日本🎉".encode()
    os.write(1, b"after "); os.write(1, glyph[:4]); time.sleep(0.001); os.write(1, glyph[4:] + b" %d\r\n" % number)
time.sleep(60)
"""
    daemon = make_daemon(program(short_tmp, code))
    wanted = [f"after 日本🎉 {number}" for number in range(300)]
    eventually(lambda: [line for line in daemon.lines("program") if line.startswith("after 日本")] == wanted)


def test_a_line_of_a_megabyte_comes_whole_in_pieces(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    code = "import sys, time\nsys.stdout.write('x' * 1_000_000 + 'END\\nnext\\n'); sys.stdout.flush(); time.sleep(60)"
    daemon = make_daemon(program(short_tmp, code))
    eventually(lambda: daemon.lines("program")[-1:] == ["next"])
    assert "".join(daemon.lines("program")[:-1]) == "x" * 1_000_000 + "END"


def test_a_flood_without_newlines_stays_bounded_and_others_go_on(
    make_daemon: Any, short_tmp: Path, demo_slot: str
) -> None:
    code = (
        "import os, time\nfor _ in range(1600): os.write(1, b'y' * 65536)\nos.write(1, b'\\ndone\\n'); time.sleep(60)"
    )
    daemon = make_daemon(demo_slot + program(short_tmp, code, "flood"))
    daemon.wait_for("demo", "idle")
    deadline = time.monotonic() + 60
    slowest = 0.0
    while daemon.lines("flood")[-1:] != ["done"]:
        start = time.monotonic()
        assert daemon.inject("demo", "in between").stage == "completed"
        slowest = max(slowest, time.monotonic() - start)
        assert time.monotonic() < deadline
    assert daemon.get("/slots/flood", SlotDetail).counters.bytes_read > 100_000_000
    assert rss_bytes(daemon.pid) < 150_000_000
    print(f"slowest inject during the flood: {slowest * 1000:.0f} ms")


def test_a_reader_that_stalls_costs_nobody_anything_and_is_told_of_its_gap(make_daemon: Any, demo_slot: str) -> None:
    """One reader stops reading while far more than the ring holds goes by; then it reads on."""
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", daemon.port))
    stalled.settimeout(30)
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n\r\n"
    stalled.sendall(f"GET /stream/demo?events=line,gap HTTP/1.1\r\n{head}".encode())
    assert b"200" in stalled.recv(1024)
    before = rss_bytes(daemon.pid)
    receipt = daemon.inject("demo", "lines 150000 50000", timeout_s=60)
    assert receipt.stage == "completed"
    assert daemon.get("/health", Health).status == "ok"
    assert rss_bytes(daemon.pid) - before < 30_000_000
    seen = b""
    while b'"text":"line 150000"' not in seen[-4096:]:
        data = stalled.recv(1 << 20)
        assert data
        seen += data
    stalled.close()
    assert b"event: gap" in seen


def test_the_daemon_ends_within_ten_seconds_with_streams_open(
    make_daemon: Any, demo_slot: str, stream: Any, eventually: Any
) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    readers = [stream(daemon, "demo") for _ in range(20)]
    eventually(lambda: all(reader.events for reader in readers))
    start = time.monotonic()
    daemon.terminate()
    assert time.monotonic() - start < 10
    assert all(reader.of("bye") for reader in readers)
    daemon.start()
    assert daemon.inject("demo", "the agent went on").reply == "echo: the agent went on"


@pytest.mark.parametrize("query", ["since=garbage", "since=e1-", "tail=-1", "tail=x", "events=nonsense", "unknown=1"])
def test_a_bad_cursor_is_a_clear_error(make_daemon: Any, demo_slot: str, query: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    status, body = daemon.exchange("GET", f"/stream/demo?{query}")
    assert status == 422, body


def test_many_readers_of_a_hot_slot_get_every_line_once_and_in_order(make_daemon: Any, demo_slot: str) -> None:
    """They are woken in shares and at most every 0.25 s: what came in between must come with the next wake."""
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    readers = [crowd.open_stream(daemon) for _ in range(300)]
    daemon.inject("demo", "lines 1500 500", until="submitted")
    for reader in readers:
        seen = b""
        while b'"text":"line 1500"' not in seen:
            data = reader.recv(65536)
            assert data, "the stream ended"
            seen += data
        numbers = [int(number) for number in re.findall(rb'"text":"line ([0-9]+)"', seen)]
        assert numbers == list(range(1, 1501))
        reader.close()
