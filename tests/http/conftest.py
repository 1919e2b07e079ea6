"""A real server on loopback and a Unix socket, over a small node that keeps its slots in memory."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.auth.chain import AuthChain
from meshd_core.auth.providers import TokenProvider
from meshd_core.auth.tokens import TokenStore
from meshd_core.contracts.auth import AuthProvider
from meshd_core.http.app import AppParts, HttpApp
from meshd_core.http.audit import AuditLog
from meshd_core.http.gate import gate_rules
from meshd_core.http.listen import Listeners, listen
from meshd_core.http.server import HttpServer
from tests.http.memory_node import MemoryNode


class Running:
    """A served app: its parts, and tokens of each scope."""

    def __init__(
        self, node: MemoryNode, app: HttpApp, server: HttpServer, listeners: Listeners, store: TokenStore, state: Path
    ) -> None:
        self.node = node
        self.app = app
        self.server = server
        self.listeners = listeners
        self.store = store
        self.state = state
        self.loop = asyncio.get_running_loop()
        self.port = listeners.port
        self.unix_path = listeners.unix_path
        self.admin, _ = store.create("admin", ("*@*",), label="test")

    def token(self, scope: str, *slots: str) -> str:
        return self.store.create(scope, slots or ("*",))[0]

    def call(self, work: Callable[[], Any]) -> Any:
        """Run `work` in the server's loop and give its result: what the daemon would do there."""
        done: Any = asyncio.run_coroutine_threadsafe(_run(work), self.loop)
        return done.result(10)

    def connect(self, family: str = "v4") -> socket.socket:
        """A raw connection to one of the listeners (`v4`, `v6`, `unix`)."""
        if family == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(10)
            sock.connect(str(self.unix_path))
            return sock
        return socket.create_connection(("127.0.0.1" if family == "v4" else "::1", self.port), timeout=10)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        *,
        token: str | None = "admin",
        headers: dict[str, str] | None = None,
        family: str = "v4",
    ) -> "Answer":
        """One request on a connection of its own. `token` "admin" is the admin's, None sends none."""
        given = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        if token is not None:
            given["Authorization"] = f"Bearer {self.admin if token == 'admin' else token}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        if body is not None:
            given["Content-Length"] = str(len(body))
        given |= headers or {}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in given.items() if v) + "\r\n"
        with self.connect(family) as sock:
            sock.sendall(head.encode("latin-1") + (body or b""))
            return Answer.parse(read_all(sock))


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Answer":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in rest)}
        return cls(int(first.split(" ")[1]), headers, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


def read_all(sock: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            parts.append(data)
    return b"".join(parts)


async def _run(work: Callable[[], Any]) -> Any:
    return work()


@contextlib.asynccontextmanager
async def serving(
    state: Path, node: MemoryNode | None = None, providers: Sequence[AuthProvider] | None = None, **rules: Any
) -> AsyncIterator[Running]:
    """A server for tests that live in the same loop."""
    node = node or MemoryNode()
    store = TokenStore(state)
    chain = AuthChain(providers if providers is not None else [TokenProvider(store)])
    allowed = gate_rules(["mac1", "0.0.0.0", "::"], rules.get("hosts", ()), rules.get("origins", ()))
    audit = AuditLog(state / "audit.jsonl")
    listeners = listen(["127.0.0.1", "::1"], 0, state / "meshd.sock", rules.get("mesh_port"))
    mesh_port = listeners.mesh_port
    app = HttpApp(
        AppParts(node, chain, allowed, mesh=rules.get("mesh"), tokens=store, audit=audit, mesh_port=mesh_port)
    )
    server = HttpServer(app, rules.get("admission"))
    running = Running(node, app, server, listeners, store, state)
    task = asyncio.create_task(server.serve_on(listeners.sockets))
    await server.ready.wait()
    try:
        yield running
    finally:
        for feed in node.feeds.values():
            feed.close()
        server.stop()
        await task
        listeners.close()


@contextmanager
def served_in_thread(state: Path, **options: Any) -> Iterator[Running]:
    """A server in a thread of its own, for tests that attack it with blocking sockets."""
    started = threading.Event()
    found: list[Running] = []
    failures: list[BaseException] = []
    done: list[Callable[[], None]] = []

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        done.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with serving(state, **options) as running:
            found.append(running)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # handed to the test's thread below
            failures.append(error)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20)
    try:
        if failures:
            raise failures[0]
        yield found[0]
    finally:
        done[0]()
        thread.join(20)
    assert not failures, failures


@pytest.fixture
def running(short_tmp: Path) -> Iterator[Running]:
    with served_in_thread(short_tmp) as found:
        yield found


@pytest.fixture
def serve(short_tmp: Path) -> Callable[..., Any]:
    """Like `running`, with options: `node`, `providers`, `hosts`, `origins`, `admission`."""
    return lambda **options: served_in_thread(short_tmp, **options)
