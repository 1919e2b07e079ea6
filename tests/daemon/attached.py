"""An attached terminal for tests: an independent WebSocket client, and an emulator that shows what came."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.daemon import DaemonProcess

WITHIN_S = 20.0


class Attachment:
    """What a person's terminal would hold: `raw` bytes, the texts, and the screen that they make."""

    def __init__(self, opened: ClientConnection) -> None:
        self.socket = opened
        self.raw = b""
        self.texts: list[dict[str, Any]] = []
        self.closed: ConnectionClosed | None = None
        self.step(WITHIN_S)
        hello = self.texts[0]
        self.hello = hello
        self._emulator = Emulator(hello["rows"], hello["cols"])

    def step(self, timeout_s: float = 0.05) -> bool:
        """Take one message; False if none came."""
        try:
            message = self.socket.recv(timeout=timeout_s)
        except TimeoutError:
            return False
        except ConnectionClosed as closed:
            self.closed = closed
            return False
        if isinstance(message, bytes):
            self.raw += message
            self._emulator.feed(message)
        else:
            self.texts.append(json.loads(message))
            if self.texts[-1]["type"] == "resize":
                self._emulator.resize(self.texts[-1]["rows"], self.texts[-1]["cols"])
        return True

    def until(self, condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, (self.rows()[-10:], self.texts, self.closed)
            if not self.step() and self.closed is not None:
                assert condition(), (self.closed, self.texts)

    def rows(self) -> list[str]:
        return self._emulator.rows()

    def shows(self, text: str) -> bool:
        return any(text in row for row in self.rows())

    def size(self) -> tuple[int, int]:
        """The size that the daemon told last."""
        told = (self.of("resize") or [self.hello])[-1]
        return told["rows"], told["cols"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == kind]

    def type(self, keys: str | bytes) -> None:
        self.socket.send(keys.encode() if isinstance(keys, str) else keys)

    def tell(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))


@contextmanager
def attached(
    daemon: DaemonProcess, target: str = "/attach/demo", *, token: str | None = "admin",
    receive_bytes: int | None = None, **headers: str,
) -> Iterator[Attachment]:  # fmt: skip
    """Attach; raises InvalidStatus if refused. `token` "admin" is the admin's, None sends none. `receive_bytes`: what
    the kernel may hold of what nobody reads.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"Bearer {daemon.token if token == 'admin' else token}"
    plain = socket.socket()
    if receive_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    plain.connect(("127.0.0.1", daemon.port))
    with connect(
        f"ws://127.0.0.1:{daemon.port}{target}", additional_headers=sent, compression=None, max_size=None, sock=plain
    ) as opened:
        yield Attachment(opened)


def refusal(daemon: DaemonProcess, target: str = "/attach/demo", **how: Any) -> tuple[int, str]:
    """Status and code with which an attach is refused."""
    try:
        with attached(daemon, target, **how):
            raise AssertionError(f"{target} was let in")
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body)["error"]["code"]
