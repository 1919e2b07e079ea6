"""A real HTTP server on a real socket whose answers a test writes byte by byte: also wrong ones, also none."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LINE_TIME = "2026-11-23T10:00:00.000Z"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Reply:
    """What a handler answers with; after `drop` the connection is closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.dropped = False
        self._streams = False

    def raw(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            self.dropped = True

    def json(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.raw(head.encode() + data)

    def error(self, status: int, code: str, message: str = "it failed", **more: Any) -> None:
        self.json({"error": {"code": code, "message": message, **more}}, status)

    def stream(self) -> None:
        """The head of an event stream; its body follows with `chunk`."""
        self._streams = True
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        if data:
            self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def lines(self, *numbers: int) -> None:
        for number in numbers:
            data = json.dumps({"n": number, "t": LINE_TIME, "text": f"line {number}"})
            self.chunk(f"id: e1-{number * 10}\nevent: line\ndata: {data}\n\n".encode())

    def end(self) -> None:
        """Close the connection, but a stream before it as HTTP does, so that nothing of it is lost."""
        if self._streams:
            self.raw(b"0\r\n\r\n")
        self.drop()

    def drop(self) -> None:
        self.dropped = True

    def until_closed(self) -> None:
        """Wait until the client hangs up, at most 10 s."""
        self._sock.settimeout(10)
        try:
            while self._sock.recv(4096):
                pass
        except OSError:
            pass
        self.dropped = True


Handler = Callable[[Request, Reply], None]


@dataclass
class ScriptedServer:
    """Serves on `listener`; `handle` is called for each request, in the connection's own thread."""

    listener: socket.socket
    handle: Handler = lambda request, reply: reply.error(404, "not_found")
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def start(self) -> "ScriptedServer":
        self.listener.settimeout(None)
        self._run(self._accept)
        return self

    def close(self) -> None:
        for sock in (self.listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            self._run(lambda sock=sock: self._converse(sock))

    def _converse(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as source:
            reply = Reply(sock)
            while not reply.dropped:
                try:
                    request = _read_request(source)
                except (OSError, ValueError):
                    return
                if request is None:
                    return
                self.requests.append(request)
                self.handle(request, reply)


def _read_request(source: Any) -> Request | None:
    first = source.readline().decode()
    if not first.strip():
        return None
    method, target, _ = first.split(" ", 2)
    headers = {}
    while line := source.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, target, headers, source.read(int(headers.get("content-length", 0))))


SLOT = {
    "name": "demo", "node": "n1", "address": "demo@n1", "kind": "demo", "labels": {}, "status": "running",
    "activity": {"state": "idle", "since": LINE_TIME, "confidence": 0.9,
                 "evidence": [{"source": "signal", "rule": "osc7501-idle", "matched": "state=idle"}]},
    "dialog": None, "pid": 4711, "started_at": LINE_TIME, "restarts": 0, "exit": None, "agent_version": "1",
    "title": "the demo", "size": {"rows": 40, "cols": 120}, "queue": 0,
    "output": {"first_id": "e1-0", "last_id": "e1-70", "lines": 7}, "new_in_1_1": {"any": "thing"},
    "settings": {"command": None, "args": [], "cwd": "/tmp", "env": ["A"], "autostart": True, "restart": "never",
               "filters": []},
    "counters": {"bytes_read": 1, "bytes_written": 2, "lines": 7, "gaps": 0, "injects": 1, "filter_errors": 0},
    "queued": [],
}  # fmt: skip


def receipt(stage: str, **more: Any) -> dict[str, Any]:
    """A receipt at `stage` with the stages before it."""
    order = ["accepted", "writing", "written", "submitted", "completed"]
    passed = order[: order.index(stage) + 1] if stage in order else ["accepted", stage]
    return {
        "id": "01JD@n1", "slot": "demo", "node": "n1", "stage": stage, "stages": dict.fromkeys(passed, LINE_TIME),
        "queue_position": None, "changes": [], "reply": None, "error": None, "capped": False, **more,
    }  # fmt: skip
