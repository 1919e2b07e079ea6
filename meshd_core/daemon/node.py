"""This node as the HTTP layer sees it: the registry's slots, their prompts, what is installed."""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from meshd_core import __version__
from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.clock import rfc3339
from meshd_core.contracts.auth import Principal
from meshd_core.contracts.context import InjectCheck
from meshd_core.contracts.routes import Route
from meshd_core.daemon.processes import slot_of_process
from meshd_core.errors import Draining, Forbidden, InjectNotFound, Overloaded
from meshd_core.events import EventBus
from meshd_core.plugins.host import PluginHost
from meshd_core.pty.errors import KeeperError
from meshd_core.registry import Registry
from meshd_core.slots.feed import Feed
from meshd_core.slots.receipts import ReceiptStore
from meshd_core.slots.sanitize import sanitize
from meshd_core.slots.shared_terminal import SharedTerminal
from meshd_core.slots.slot import Slot
from meshd_core.types import (
    AnswerRequest,
    AnswerResult,
    Explanation,
    Health,
    HealthStatus,
    InjectRequest,
    KeysAnswer,
    MessagePage,
    Node,
    PluginList,
    Receipt,
    ReloadReport,
    ReloadRequest,
    RestartRequest,
    Screen,
    Size,
    SlotCounts,
    SlotDetail,
    StartRequest,
    StopRequest,
)
from meshd_core.types import Slot as SlotView

PROTOCOL_VERSION = "1.0"
FEATURES = [
    "inject", "stream", "screen", "messages", "idempotency", "keys", "answer", "mesh", "dispatch", "attach", "explain",
]  # fmt: skip

Agents = Literal["stop", "keep"]


class LocalNode:
    """Implements the HTTP layer's `NodeService` over the slots of this node."""

    def __init__(
        self,
        registry: Registry[Slot],
        store: ReceiptStore,
        host: PluginHost,
        bus: EventBus,
        agents: AgentTokens,
        on_shutdown: Callable[[Agents], None],
        on_reload: Callable[[ReloadRequest], Awaitable[ReloadReport]],
    ) -> None:
        self.name = registry.node
        self.boot_id = bus.boot_id
        self._started_at = rfc3339()
        self._registry, self._store, self._host, self._agents = registry, store, host, agents
        self._on_shutdown, self._on_reload = on_shutdown, on_reload
        self.draining = False

    # -- the node --

    def health(self) -> Health:
        status: HealthStatus = "ok"
        if self.draining:
            status = "draining"
        elif any(info.status == "failed" for info in self._host.infos()):
            status = "degraded"
        return Health(status=status)

    def node(self) -> Node:
        return Node(
            name=self.name, boot_id=self.boot_id, version=__version__, protocol=PROTOCOL_VERSION, features=FEATURES,
            now=rfc3339(), started_at=self._started_at, pid=os.getpid(),
            slots=SlotCounts.of(self.slots()),
            load=[round(value, 2) for value in os.getloadavg()],
        )  # fmt: skip

    def plugins(self) -> PluginList:
        return PluginList(plugins=self._host.infos())

    def routes(self) -> Sequence[tuple[str, Route]]:
        return self._host.routes

    async def reload(self, request: ReloadRequest) -> ReloadReport:
        self.require_going_on()
        with _keeper_failures():
            return await self._on_reload(request)

    def require_going_on(self) -> None:
        """Raises Draining once the daemon is ending."""
        if self.draining:
            raise Draining("this daemon is ending", hint="try again once it is back")

    def shutdown(self, agents: Agents) -> None:
        self._on_shutdown(agents)

    def slot_of_process(self, pid: int) -> str | None:
        runs = {run: slot.name for slot in self._registry for run in slot.runs}
        return slot_of_process(
            pid, runs, {child.pid: child.slot for slot in self._registry if (child := slot.child) is not None}
        )

    def agent_principal(self, slot: str) -> Principal | None:
        return self._agents.principal(slot)

    # -- slots --

    def slots(self) -> list[SlotView]:
        return [slot.view() for slot in self._registry]

    def slot(self, name: str) -> SlotDetail:
        return self._registry.get(name).detail()

    async def wait_for(self, name: str, states: frozenset[str], wait_s: float) -> SlotDetail:
        slot = self._registry.get(name)
        await slot.wait_for(states, wait_s)
        return slot.detail()

    def explain(self, name: str) -> Explanation:
        return self._registry.get(name).explain()

    def screen(self, name: str) -> Screen:
        return self._registry.get(name).screen()

    async def messages(self, name: str, before: str | None, limit: int) -> MessagePage:
        return await self._registry.get(name).messages(before, limit)

    def feed(self, name: str) -> Feed:
        return self._registry.get(name).feed

    def terminal(self, name: str) -> SharedTerminal:
        return self._registry.get(name).terminal

    async def start(self, name: str, request: StartRequest) -> SlotView:
        slot = self._slot_for_change(name)
        with _keeper_failures():
            await slot.start(request.resume)
        return slot.view()

    async def stop(self, name: str, request: StopRequest) -> SlotView:
        slot = self._slot_for_change(name)
        with _keeper_failures():
            await slot.stop(request.grace_s)
        return slot.view()

    async def restart(self, name: str, request: RestartRequest) -> SlotView:
        slot = self._slot_for_change(name)
        with _keeper_failures():
            await slot.restart(request.resume, request.grace_s)
        return slot.view()

    async def press(self, name: str, keys: list[str]) -> KeysAnswer:
        slot = self._slot_for_change(name)
        return KeysAnswer(slot=slot.name, node=self.name, bytes_written=await slot.hands.press(keys))

    async def send_bytes(self, name: str, data: bytes) -> KeysAnswer:
        slot = self._slot_for_change(name)
        return KeysAnswer(slot=slot.name, node=self.name, bytes_written=await slot.hands.send(data))

    async def interrupt(self, name: str) -> SlotView:
        slot = self._slot_for_change(name)
        await slot.hands.interrupt()
        return slot.view()

    async def answer(self, name: str, request: AnswerRequest) -> AnswerResult:
        slot = self._slot_for_change(name)
        closed = await slot.hands.answer(request.dialog_id, request.choice)
        return AnswerResult(
            slot=slot.name, node=self.name, dialog_id=request.dialog_id, choice=request.choice, closed=closed
        )

    async def resize(self, name: str, size: Size) -> SlotView:
        slot = self._slot_for_change(name)
        slot.resize(size)
        return slot.view()

    def _slot_for_change(self, name: str) -> Slot:
        self.require_going_on()
        return self._registry.get(name)

    # -- prompts --

    async def inject(
        self, name: str, request: InjectRequest, by: Principal, key: str | None, receipt: str | None = None
    ) -> Receipt:
        slot = self._slot_for_change(name)
        facts = {"name": slot.name, "kind": slot.section.kind, "labels": slot.section.labels}
        principal = by.id or by.subject
        if slot.queue.known(request, principal, key) is None:  # who asks again about a prompt of before sends none
            # As it was sent, and as it would be typed: a control character in a word must not hide it.
            for text in dict.fromkeys((request.text, sanitize(request.text, slot.profile.sanitize)[0])):
                check = InjectCheck(text=text, submit=request.submit, when=request.when)
                if (denial := self._host.check_inject(facts, by, check)) is not None:
                    raise Forbidden(f"a plugin refuses this prompt: {denial.reason}")
        return await slot.inject(request, principal, key, receipt)

    def receipt(self, id: str) -> Receipt:
        for slot in self._registry:
            if (receipt := slot.queue.live(id)) is not None:
                return receipt
        entry = self._store.get(id)
        if entry is None:
            raise InjectNotFound
        return entry.view()

    async def cancel(self, id: str) -> Receipt:
        receipt = self.receipt(id)
        return self._registry.get(receipt.slot).queue.cancel(id)


@contextmanager
def _keeper_failures() -> Iterator[None]:
    """A keeper that died is replaced within a second or two: worth another try, not an internal error."""
    try:
        yield
    except KeeperError as error:
        raise Overloaded(f"the keeper can't be reached: {error}", hint="try again in a few seconds") from error
