"""How long a prompt takes to come back as a line on a stream, against the same agent on a bare PTY.

The floor is a blocking write to a PTY and a blocking read of the demo agent's answer, with nothing of meshd between.
"""

import json
import os
import socket
import statistics
import sys
import time

import pexpect
from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess

ROUNDS = 400
PAUSE_S = 0.004


class Latency(Struct):
    """Medians in microseconds."""

    bare_us: float
    meshd_us: float

    @property
    def ratio(self) -> float:
        return self.meshd_us / self.bare_us


class BareAgent:
    """The demo agent on a PTY of our own."""

    def __init__(self) -> None:
        command = ["-P", "-m", "meshd_core.testing.demo_agent"]
        self._agent = pexpect.spawn(sys.executable, command, timeout=10)
        self._agent.expect("demo> ")

    def round_trip(self, text: str) -> float:
        fd, wanted, seen = self._agent.child_fd, f"echo: {text}".encode(), b""
        start = time.perf_counter()
        os.write(fd, f"\x1b[200~{text}\x1b[201~".encode())
        os.write(fd, b"\r")
        while wanted not in seen:
            seen += os.read(fd, 65536)
        return time.perf_counter() - start

    def close(self) -> None:
        self._agent.close(force=True)


class MeshdAgent:
    """The demo agent behind a daemon: one connection injects, another streams."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n"
        self._stream, self._inject = (socket.create_connection(("127.0.0.1", daemon.port), 10) for _ in range(2))
        self._stream.sendall(f"GET /stream/demo?events=line HTTP/1.1\r\n{self._head}\r\n".encode())
        self._stream.recv(65536)

    def round_trip(self, text: str) -> float:
        body = json.dumps({"text": text, "until": "accepted"})
        head = f"{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = f"POST /inject/demo HTTP/1.1\r\n{head}\r\n{body}".encode()
        wanted, seen = f"echo: {text}".encode(), b""
        start = time.perf_counter()
        self._inject.sendall(request)
        while wanted not in seen:
            seen += self._stream.recv(65536)
        took = time.perf_counter() - start
        self._inject.recv(65536)
        return took

    def close(self) -> None:
        self._stream.close()
        self._inject.close()


def measure(daemon: DaemonProcess) -> Latency:
    """Alternate both, so that whatever else the machine does falls on both."""
    bare, behind = BareAgent(), MeshdAgent(daemon)
    times: tuple[list[float], list[float]] = ([], [])
    try:
        for number in range(ROUNDS):
            for kept, agent in zip(times, (bare, behind), strict=True):
                kept.append(agent.round_trip(f"round {number}"))
                time.sleep(PAUSE_S)
    finally:
        bare.close()
        behind.close()
    return Latency(*(statistics.median(kept) * 1e6 for kept in times))
