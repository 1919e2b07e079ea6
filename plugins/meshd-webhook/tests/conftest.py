"""A real HTTP server that keeps what it is sent and answers as told."""

import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from msgspec import Struct


class Seen(Struct):
    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class HttpReceiver:
    """`answers` are given first, one each: a status, or a status with headers and a body; then `status`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.status = 204
        self.answers: deque[int | tuple[int, dict[str, str], bytes]] = deque()
        self.hang = threading.Event()
        self.hang.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.hang.wait(30)
                answer = receiver.answers.popleft() if receiver.answers else receiver.status
                status, headers, content = (answer, {}, b"") if isinstance(answer, int) else answer
                seen = Seen(self.path, {key.lower(): value for key, value in self.headers.items()}, body, status)
                receiver.seen.append(seen)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook/s3cret-path"

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def make_http() -> type[HttpReceiver]:
    return HttpReceiver
