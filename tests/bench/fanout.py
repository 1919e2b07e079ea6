"""What the daemon's CPU spends on a line for one of many readers."""

import os
import selectors
import socket
import time
from pathlib import Path

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Fanout(Struct):
    readers: int
    lines_per_s: int
    delivered: int
    expected: int
    cpu_us: float
    """Daemon CPU for each delivered line, all work of the daemon included."""


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def measure(daemon: DaemonProcess, readers: int = 100, rate: int = 200, seconds: int = 10) -> Fanout:
    """`readers` streams of one slot while it prints `rate` lines a second."""
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n"
    selector = selectors.DefaultSelector()
    counts: dict[socket.socket, int] = {}
    for _ in range(readers):
        stream = socket.create_connection(("127.0.0.1", daemon.port), 10)
        stream.sendall(f"GET /stream/demo?events=line HTTP/1.1\r\n{head}\r\n".encode())
        stream.recv(65536)
        stream.setblocking(False)
        selector.register(stream, selectors.EVENT_READ)
        counts[stream] = 0
    total = rate * seconds
    before = cpu_seconds(daemon.pid)
    daemon.inject("demo", f"lines {total} {rate}", until="submitted")
    deadline = time.monotonic() + seconds + 5
    while min(counts.values()) < total and time.monotonic() < deadline:
        for key, _ in selector.select(0.2):
            stream = key.fileobj
            assert isinstance(stream, socket.socket)
            counts[stream] += stream.recv(1 << 20).count(b'"text":"line ')
    spent = cpu_seconds(daemon.pid) - before
    for stream in counts:
        stream.close()
    delivered = sum(counts.values())
    return Fanout(readers, rate, delivered, total * readers, spent / delivered * 1e6)
