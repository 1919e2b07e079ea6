"""Nodes as nobody wants them, in a process of their own: `python bad_peers.py ADDRESS` prints their ports as JSON.

They must not share an interpreter with a test that measures.
"""

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable

Talk = Callable[[socket.socket, str], None]
GIGABYTE = 1_000_000_000
_TIME = "2026-11-23T10:00:00.000Z"


def _node(name: str) -> bytes:
    counts = {"total": 0, "by_status": {}, "by_activity": {}}
    about = {
        "name": name, "boot_id": "b", "version": "0", "protocol": "1.0", "features": [], "now": _TIME,
        "started_at": _TIME, "pid": 1, "slots": counts, "load": [],
    }  # fmt: skip
    return json.dumps(about).encode()


def _head(status: int, length: int, name: str, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nMeshd-Node: {name}\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def garbage(sock: socket.socket, path: str) -> None:
    sock.sendall(b"\x00\xff\x1b[2J SSH-2.0-nonsense\r\n" * 50)


def liar(sock: socket.socket, path: str) -> None:
    body = _node("somebody-else")
    sock.sendall(_head(200, len(body), "somebody-else") + body)


def slow(sock: socket.socket, path: str) -> None:
    for byte in _head(200, 100, "slow"):
        sock.sendall(bytes([byte]))
        time.sleep(0.5)


def redirect(sock: socket.socket, path: str) -> None:
    sock.sendall(_head(307, 0, "redirect", f"Location: http://127.0.0.1:9451{path}\r\n"))


def flood(sock: socket.socket, path: str) -> None:
    """Says rightly who it is, and a gigabyte to everything else."""
    if path == "/node":
        body = _node("flood")
        sock.sendall(_head(200, len(body), "flood") + body)
        return
    stream = path.startswith("/mesh/stream")
    head = _head(200, GIGABYTE, "flood")
    sock.sendall(head.replace(b"application/json", b"text/event-stream") if stream else head)
    block = (b"event: state\ndata: {}\n\n" if stream else b'{"slots": [') * 4000
    for _ in range(GIGABYTE // len(block)):
        sock.sendall(block)


KINDS: dict[str, Talk] = {"garbage": garbage, "liar": liar, "slow": slow, "redirect": redirect, "flood": flood}


def _serve(listener: socket.socket, talk: Talk) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_talk, args=(sock, talk), daemon=True).start()


def _talk(sock: socket.socket, talk: Talk) -> None:
    with sock, contextlib.suppress(OSError):
        while True:
            data = sock.recv(65536)
            if not data:
                return
            talk(sock, data.split(b" ")[1].decode())


def main() -> None:
    ports = {}
    for name, talk in KINDS.items():
        listener = socket.create_server((sys.argv[1], 0))
        ports[name] = listener.getsockname()[1]
        threading.Thread(target=_serve, args=(listener, talk), daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
