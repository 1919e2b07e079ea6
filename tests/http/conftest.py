"""A real server on loopback and a Unix socket, over a small node that keeps its slots in memory."""

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from meshd_core.auth.chain import AuthChain
from meshd_core.auth.providers import TokenProvider
from meshd_core.auth.tokens import TokenStore
from meshd_core.clock import now_ms, rfc3339, ulid
from meshd_core.contracts.auth import AuthProvider, Principal
from meshd_core.contracts.sinks import Route, RouteReply, RouteRequest
from meshd_core.errors import IdempotencyMismatch, InjectNotCancellable, InjectNotFound, SlotNotFound
from meshd_core.http.app import AppParts, HttpApp
from meshd_core.http.audit import AuditLog
from meshd_core.http.gate import gate_rules
from meshd_core.http.listen import Listeners, listen
from meshd_core.http.server import HttpServer
from meshd_core.types import (
    Activity,
    Cursor,
    Health,
    HealthStatus,
    InjectRequest,
    Node,
    OutputRange,
    PluginList,
    Receipt,
    RestartRequest,
    Screen,
    Size,
    Slot,
    SlotConfig,
    SlotCounters,
    SlotCounts,
    SlotDetail,
    StartRequest,
    StateEvent,
    StopRequest,
)


class MemoryEvent(msgspec.Struct, frozen=True):
    end: int
    event: str
    n: int
    t_ms: int
    data: bytes


class MemoryFeed:
    """The events of one slot in a list; `keep` bounds it, so that old ones are lost as in the journal."""

    def __init__(self, epoch: str = "e1", keep: int = 1_000_000) -> None:
        self.epoch = epoch
        self.closing = asyncio.Event()
        self.tail = 0
        self.head = 0
        self.reading = 0
        self._keep = keep
        self._events: deque[MemoryEvent] = deque()
        self._ends: dict[int, int] = {0: 0}
        self._first = 0
        self._n = 0
        self._first_n = 1
        self._waiters: set[asyncio.Future[None]] = set()
        self._watchers: list[Callable[[], None]] = []

    def lines(self, *texts: str) -> None:
        for text in texts:
            self._n += 1
            self._add("line", self._n, text.encode())
        self.wake()

    def event(self, name: str, body: msgspec.Struct) -> None:
        self._add(name, 0, msgspec.json.encode(body))
        self.wake()

    def _add(self, name: str, n: int, data: bytes) -> None:
        self.head += len(data) + 32
        self._events.append(MemoryEvent(self.head, name, n, now_ms(), data))
        self._ends[self.head] = self._first + len(self._events)
        while len(self._events) > self._keep:
            gone = self._events.popleft()
            self._first += 1
            self._ends.pop(self.tail, None)
            self.tail = gone.end
            if gone.event == "line":
                self._first_n = gone.n + 1

    def wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        for watcher in list(self._watchers):
            watcher()

    def watch(self, on_event: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(on_event)
        return lambda: self._watchers.remove(on_event)

    def close(self) -> None:
        self.closing.set()
        self.wake()

    def read(self, start: int, max_bytes: int = 65536) -> Sequence[MemoryEvent]:
        found: list[MemoryEvent] = []
        size = 0
        for index in range(self._ends[start] - self._first, len(self._events)):
            event = self._events[index]
            size += len(event.data) + 32
            if found and size > max_bytes:
                break
            found.append(event)
        return found

    def valid(self, offset: int) -> bool:
        return offset in self._ends

    def tail_lines(self, count: int) -> int:
        found = [event for event in self._events if event.event == "line"]
        if len(found) < count:
            return self.tail
        if count == 0:
            return self.head
        index = self._events.index(found[-count])
        return self.tail if index == 0 else self._events[index - 1].end

    def first_n(self) -> int:
        return self._first_n

    def last_n(self) -> int:
        return self._n

    def snapshot(self) -> StateEvent:
        return StateEvent("running", Activity("idle", "2026-01-01T00:00:00.000Z", 0.9))

    @contextmanager
    def readers(self) -> Iterator[None]:
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1

    async def wait(self, past: int, timeout_s: float) -> bool:
        if self.head > past or self.closing.is_set():
            return self.head > past
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return self.head > past


class MemoryNode:
    """A node whose agents are lists: each prompt becomes a line at once."""

    def __init__(self, slots: Sequence[str] = ("demo", "other", "claude-1")) -> None:
        self.name = "mac1"
        self.feeds = {name: MemoryFeed() for name in slots}
        self.status: HealthStatus = "ok"
        self.receipts: dict[str, Receipt] = {}
        self.keys: dict[tuple[str, str, str], tuple[str, str]] = {}
        self.typed: list[str] = []
        self.stage: str = "submitted"
        self.slot_pids: dict[int, str] = {}
        self.shutdowns: list[str] = []
        self.calls: list[str] = []
        self.broken = False

    def health(self) -> Health:
        return Health(self.status)

    def node(self) -> Node:
        counts = SlotCounts(len(self.feeds), {"running": len(self.feeds)}, {"idle": len(self.feeds)})
        return Node(self.name, "b", "0", "1.0", [], rfc3339(), rfc3339(), 1, counts, [0.0, 0.0, 0.0])

    def plugins(self) -> PluginList:
        return PluginList([])

    def slots(self) -> list[Slot]:
        return [self.slot(name) for name in self.feeds]

    def slot(self, name: str) -> SlotDetail:
        if self.broken:
            raise RuntimeError("secret-of-the-trace")
        if name not in self.feeds:
            raise SlotNotFound(name, next(iter(self.feeds)))
        feed = self.feeds[name]
        return SlotDetail(
            name=name,
            node=self.name,
            address=f"{name}@{self.name}",
            kind="demo",
            labels={"team": "web"} if name == "demo" else {},
            status="running",
            activity=Activity("idle", rfc3339(0), 0.9),
            dialog=None,
            pid=1,
            started_at=rfc3339(0),
            restarts=0,
            exit=None,
            agent_version=None,
            title="",
            size=Size(40, 120),
            queue=0,
            output=OutputRange(f"{feed.epoch}-{feed.tail}", f"{feed.epoch}-{feed.head}", feed.last_n()),
            config=SlotConfig(command=None, args=[], cwd="~", env=[], autostart=True, restart="on-failure", filters=[]),
            counters=SlotCounters(0, 0, 0, 0, 0, 0),
            queued=[],
        )

    async def wait_for(self, name: str, states: frozenset[str], wait_s: float) -> SlotDetail:
        if not states & {"idle", "running"}:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await asyncio.Event().wait()
        return self.slot(name)

    async def inject(self, name: str, request: InjectRequest, by: Principal, key: str | None) -> Receipt:
        self.slot(name)
        scoped = None if key is None else (by.id or by.subject, name, key)
        if scoped in self.keys:
            text, receipt_id = self.keys[scoped]
            if text != request.text:
                raise IdempotencyMismatch("the key was used for another prompt")
            return self.receipts[receipt_id]
        receipt = Receipt(f"{ulid()}@{self.name}", name, self.name, self.stage, {}, None, (), None, None, False)
        self.receipts[receipt.id] = receipt
        if scoped is not None:
            self.keys[scoped] = (request.text, receipt.id)
        self.typed.append(request.text)
        self.feeds[name].lines(f"echo: {request.text}")
        return receipt

    def receipt(self, id: str) -> Receipt:
        if id not in self.receipts:
            raise InjectNotFound("there is no receipt with this id")
        return self.receipts[id]

    async def cancel(self, id: str) -> Receipt:
        raise InjectNotCancellable("it was typed already")

    def screen(self, name: str) -> Screen:
        self.slot(name)
        return Screen(["> "], Cursor(0, 2), "", Size(40, 120), False)

    def feed(self, name: str) -> MemoryFeed:
        self.slot(name)
        return self.feeds[name]

    async def start(self, name: str, request: StartRequest) -> Slot:
        self.calls.append(f"start {name} {request.resume}")
        return self.slot(name)

    async def stop(self, name: str, request: StopRequest) -> Slot:
        self.calls.append(f"stop {name} {request.grace_s}")
        return self.slot(name)

    async def restart(self, name: str, request: RestartRequest) -> Slot:
        self.calls.append(f"restart {name}")
        return self.slot(name)

    def shutdown(self, agents: Literal["stop", "keep"]) -> None:
        self.shutdowns.append(agents)

    def routes(self) -> Sequence[tuple[str, Route]]:
        async def hello(request: RouteRequest) -> RouteReply:
            return RouteReply(json.dumps({"path": request.path, "by": request.subject}).encode())

        async def broken(request: RouteRequest) -> RouteReply:
            raise RuntimeError("secret-of-the-plugin")

        return (
            ("toy", Route("/hello", ("GET", "POST"), "read", hello)),
            ("toy", Route("/broken", ("GET",), "control", broken)),
        )

    def slot_of_process(self, pid: int) -> str | None:
        return self.slot_pids.get(pid)


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
    app = HttpApp(AppParts(node, chain, allowed, store, AuditLog(state / "audit.jsonl")))
    listeners = listen(["127.0.0.1", "::1"], 0, state / "meshd.sock")
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
