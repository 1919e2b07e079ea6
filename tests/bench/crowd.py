"""What many readers of one slot cost: memory, and how soon others are answered meanwhile."""

import http.client
import multiprocessing
import selectors
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess

READERS, RATE, SECONDS = 1000, 50, 10
STALLED = 100
STALL_LINES = 60_000


class Crowd(Struct):
    readers: int
    delivered: int
    expected: int
    memory_mib: float
    """Growth of the daemon's resident memory with all readers and what they got."""
    stalled_kib: float
    """Growth for each of the stalled readers, after far more was printed than a connection holds."""
    health_p99_ms: float
    """Of `GET /health` from a process of its own while the readers are served."""


def resident_kib(pid: int) -> int:
    """Resident memory of `pid`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError(f"{pid} has no VmRSS")


def measure(daemon: DaemonProcess) -> Crowd:
    """1,000 readers at 50 lines/s for 10 s, then 100 that take nothing."""
    before = resident_kib(daemon.pid)
    selector = selectors.DefaultSelector()
    counts = {open_stream(daemon): 0 for _ in range(READERS)}
    for stream in counts:
        stream.setblocking(False)
        selector.register(stream, selectors.EVENT_READ)
    ours, theirs = multiprocessing.Pipe()
    asking = multiprocessing.Process(target=ask_health, args=(daemon.port, theirs))
    asking.start()
    total = RATE * SECONDS
    daemon.inject("demo", f"lines {total} {RATE}", until="submitted")
    deadline = time.monotonic() + SECONDS + 20
    while min(counts.values()) < total and time.monotonic() < deadline:
        for key, _ in selector.select(0.2):
            stream = key.fileobj
            assert isinstance(stream, socket.socket)
            counts[stream] += stream.recv(65536).count(b'"text":"line ')
    ours.send("enough")
    p99_ms = ours.recv()
    asking.join()
    grown = resident_kib(daemon.pid) - before
    for stream in counts:
        stream.close()
    return Crowd(READERS, sum(counts.values()), total * READERS, grown / 1024, stalled_kib(daemon), p99_ms)


def stalled_kib(daemon: DaemonProcess) -> float:
    """Memory for each reader that asked and then takes nothing."""
    daemon.inject("demo", f"lines {STALL_LINES} 0", timeout_s=120)  # the ring is full: what grows now is the readers'
    before = resident_kib(daemon.pid)
    streams = [open_stream(daemon, 4096) for _ in range(STALLED)]
    daemon.inject("demo", f"lines {STALL_LINES} 0", timeout_s=120)
    grown = resident_kib(daemon.pid) - before
    for stream in streams:
        stream.close()
    return max(0, grown) / STALLED


def open_stream(daemon: DaemonProcess, receive_bytes: int | None = None, slot: str = "demo") -> socket.socket:
    """A stream of the lines of `slot` from now on; its answer has begun."""
    stream = socket.socket()
    if receive_bytes is not None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    stream.settimeout(20)
    stream.connect(("127.0.0.1", daemon.port))
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n"
    stream.sendall(f"GET /stream/{slot}?events=line HTTP/1.1\r\n{head}\r\n".encode())
    stream.recv(1024)
    return stream


def ask_health(port: int, told: Connection) -> None:
    """Ask 100 times a second until told that it is enough; tell the 99th percentile in ms."""
    took: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while not told.poll(0.01):
        began = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
    connection.close()
    told.send(sorted(took)[int(len(took) * 0.99)])
