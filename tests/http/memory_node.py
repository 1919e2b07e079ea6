"""A node that lives in memory: what the HTTP layer asks of the daemon, over lists."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec

from meshd_core.clock import now_ms, rfc3339, ulid
from meshd_core.contracts.auth import Principal
from meshd_core.contracts.routes import Route, RouteReply, RouteRequest
from meshd_core.errors import IdempotencyMismatch, InjectNotCancellable, InjectNotFound, SlotNotFound
from meshd_core.types import (
    Activity,
    Cursor,
    Explanation,
    Health,
    HealthStatus,
    InjectRequest,
    Message,
    MessagePage,
    Node,
    OutputRange,
    PluginList,
    ProfileReport,
    QueueReport,
    Receipt,
    ReloadReport,
    ReloadRequest,
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
        self.bye_reason = ""
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
        self.agents: dict[str, Principal] = {}
        self.reloads: list[ReloadRequest] = []
        self.calls: list[str] = []
        self.broken = False

    def health(self) -> Health:
        return Health(self.status)

    def node(self) -> Node:
        counts = SlotCounts.of(self.slots())
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
            settings=SlotConfig(
                command=None, args=[], cwd="~", env=[], autostart=True, restart="on-failure", filters=[]
            ),
            counters=SlotCounters(0, 0, 0, 0, 0, 0),
            queued=[],
        )

    async def wait_for(self, name: str, states: frozenset[str], wait_s: float) -> SlotDetail:
        if not states & {"idle", "running"}:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await asyncio.Event().wait()
        return self.slot(name)

    async def inject(
        self, name: str, request: InjectRequest, by: Principal, key: str | None, receipt: str | None = None
    ) -> Receipt:
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
            raise InjectNotFound
        return self.receipts[id]

    async def cancel(self, id: str) -> Receipt:
        raise InjectNotCancellable("it was typed already")

    def explain(self, name: str) -> Explanation:
        queue = QueueReport((), 0, None, "idle", None, 0.0)
        return Explanation(ProfileReport("demo", None, None, (), ()), (), (), queue, 0.0, None, 600.0)

    def screen(self, name: str) -> Screen:
        self.slot(name)
        return Screen(["> "], Cursor(0, 2), "", Size(40, 120), False)

    async def messages(self, name: str, before: str | None, limit: int) -> MessagePage:
        self.slot(name)
        self.calls.append(f"messages {name} {before} {limit}")
        return MessagePage([Message("m1", "user", "log", "hello", None)], "log", None)

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

    async def reload(self, request: ReloadRequest) -> ReloadReport:
        self.reloads.append(request)
        return ReloadReport(slots=[], needs_restart=[], warnings=[])

    def shutdown(self, agents: Literal["stop", "keep"]) -> None:
        self.shutdowns.append(agents)

    def routes(self) -> Sequence[tuple[str, Route]]:
        async def hello(request: RouteRequest) -> RouteReply:
            return RouteReply(json.dumps({"path": request.path, "by": request.subject}).encode())

        async def broken(request: RouteRequest) -> RouteReply:
            raise RuntimeError("secret-of-the-plugin")

        async def metrics(request: RouteRequest) -> RouteReply:
            return RouteReply(f"sees_all {request.sees_all:d}\n".encode(), content_type="text/plain; version=0.0.4")

        async def second(request: RouteRequest) -> RouteReply:
            return RouteReply(b"second")

        return (
            ("toy", Route("/metrics", ("POST",), "read", second)),
            ("toy", Route("/metrics", ("GET",), "read", metrics)),
            ("late", Route("/metrics", ("GET",), "read", second)),
            ("toy", Route("/hello", ("GET", "POST"), "read", hello)),
            ("toy", Route("/broken", ("GET",), "control", broken)),
        )

    def slot_of_process(self, pid: int) -> str | None:
        return self.slot_pids.get(pid)

    def agent_principal(self, slot: str) -> Principal | None:
        return self.agents.get(slot)
