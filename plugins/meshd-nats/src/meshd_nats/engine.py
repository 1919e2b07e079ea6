"""The engine: a worker for each slot, which takes a job whenever the slot is idle.

What it has in hand is in the ledger before anything is typed, and the job's id is the prompt's Idempotency-Key. So a
daemon that dies in the middle leaves a job that the next one joins, not one that is typed again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from secrets import token_hex
from time import time_ns
from typing import Any

import msgspec
from nats.aio.client import RawCredentials
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from meshd_core.api import Engine, EngineDaemon, FleetEvent, InjectRequest, MeshdError, PluginContext, Receipt, Slot
from meshd_nats.broker import PULL_S, Broker, NoBroker
from meshd_nats.ledger import Held, Ledger
from meshd_nats.options import NatsOptions
from meshd_nats.wire import OUTCOMES, Job, JobId, JobReceipt, State

KEY_MS = 23 * 3600 * 1000
"""Idempotency-Keys are known for 24 hours: an older job is not joined, because it would be typed again."""
TRANSIENT = frozenset({"draining", "overloaded", "queue_full"})
_LOOK_S = 5.0
_AGAIN_S = 1.0

log = logging.getLogger(__name__)


class NatsEngine(Engine):
    """`run` works with one daemon; what outlives it is in the ledger."""

    name = "nats"

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._options: NatsOptions = ctx.config
        self._ledger = Ledger(ctx.state_dir / "jobs")

    async def run(self, daemon: EngineDaemon) -> None:
        try:
            async with Broker.connected(self._options, self._ctx.node, self._login()) as broker:
                await _Work(daemon, broker, self._ledger, self._options, self._ctx.node).run()
        except* (NatsError, NoBroker, OSError, ValueError) as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise NoBroker(str(first) or type(first).__name__) from None

    def _login(self) -> dict[str, Any]:
        """Read anew for each connection of the engine. Raises ValueError."""
        options, read = self._options, self._ctx.read_secret
        if options.token is not None:
            return {"token": str(read(options.token))}
        if options.user is not None and options.password is not None:
            return {"user": options.user, "password": str(read(options.password))}
        if options.creds is not None:
            return {"user_credentials": RawCredentials(str(read(options.creds)))}
        return {}


class _Work:
    """One life of the engine."""

    def __init__(
        self, daemon: EngineDaemon, broker: Broker, ledger: Ledger, options: NatsOptions, node: str
    ) -> None:  # fmt: skip
        self._daemon, self._broker, self._ledger = daemon, broker, ledger
        self._options, self._node = options, node
        self._changed = asyncio.Event()
        self._workers: set[tuple[str, str]] = set()
        self._kinds: set[str] = set()

    async def run(self) -> None:
        unsubscribe = self._daemon.subscribe(self._on_event)
        try:
            async with asyncio.TaskGroup() as group:
                for held in self._ledger.open():
                    group.create_task(self._carry(held, begun=True), name=f"job {held.job.id}")
                group.create_task(self._broker.watch_lost(self._node), name="lost jobs")
                while True:
                    await self._staff(group)
                    await self._wait()
        finally:
            unsubscribe()

    # -- workers --

    def _on_event(self, event: FleetEvent) -> None:
        if event.type in ("slot", "inject"):
            self._changed.set()
            self._changed = asyncio.Event()

    async def _wait(self) -> None:
        """Until something about a slot changed; at most _LOOK_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._changed.wait()

    async def _staff(self, group: asyncio.TaskGroup) -> None:
        """A worker for each slot that takes jobs. That of a slot that is gone ends by itself, its job carried out."""
        slots = {
            (slot.name, slot.kind)
            for slot in self._daemon.slots()
            if slot.config != "removed" and any(fnmatchcase(slot.name, glob) for glob in self._options.slots)
        }
        for kind in {kind for _, kind in slots} - self._kinds:
            await self._broker.make_consumer(kind)
            await self._broker.sweep(kind, self._node)
            self._kinds.add(kind)
        for key in slots - self._workers:
            self._workers.add(key)
            group.create_task(self._work(*key), name=f"worker {key[0]}")

    async def _work(self, name: str, kind: str) -> None:
        try:
            while (slot := self._slot(name, kind)) is not None:
                if slot.status != "running" or slot.activity.state != "idle" or slot.queue:
                    await self._wait()
                elif (message := await self._pull(name, kind)) is None:
                    continue
                elif self._slot(name, kind) is None:
                    return  # nobody has begun it: it is put back once its time has run out
                elif (held := await self._take(message, name)) is not None:
                    await self._carry(held)
        finally:
            self._workers.discard((name, kind))

    def _slot(self, name: str, kind: str) -> Slot | None:
        """The slot, unless it is gone, or of another kind by now."""
        try:
            slot: Slot = self._daemon.slot(name)
        except MeshdError:
            return None
        return slot if slot.kind == kind and slot.config != "removed" else None

    async def _pull(self, slot: str, kind: str) -> Msg | None:
        """A job. If the daemon ends meanwhile, one that still comes is left to the next daemon."""
        pulling = asyncio.ensure_future(self._broker.pull(kind))
        try:
            return await asyncio.shield(pulling)
        except asyncio.CancelledError:
            await asyncio.wait({pulling}, timeout=PULL_S + 0.5)
            if not pulling.done():
                pulling.cancel()
            elif (message := pulling.result()) is not None:
                await self._take(message, slot)
            raise

    async def _take(self, message: Msg, slot: str) -> Held | None:
        """The job of `message`, in the ledger; None if it is none, or can't be kept."""
        try:
            job = msgspec.json.decode(message.data, type=Job)
        except msgspec.DecodeError as error:
            log.warning("a message of the queue is not a job", extra={"reason": type(error).__name__})
            await self._broker.refuse(message, self._refusal(message.data, str(error)))
            return None
        place = message.metadata
        held = Held(
            job=job, slot=slot, claim=token_hex(12), ack=message.reply, seq=place.sequence.stream,
            deliveries=place.num_delivered or 1, since_ms=time_ns() // 1_000_000,
        )  # fmt: skip
        try:
            self._ledger.save(held)
        except OSError as error:
            # Nobody has begun it: it is put back once its time has run out.
            log.error("a job can't be kept", extra={"job": job.id, "reason": error.strerror})
            await asyncio.sleep(_LOOK_S)
            return None
        return held

    def _refusal(self, data: bytes, reason: str) -> JobReceipt | None:
        try:
            job = msgspec.json.decode(data, type=_Named).id
        except msgspec.DecodeError:
            return None
        return JobReceipt(job, "refused", self._node, _now(), error=reason)

    # -- one job --

    async def _carry(self, held: Held, *, begun: bool = False) -> None:
        """From claim to result. Nothing is typed under a claim that isn't ours. `begun`: perhaps it is already."""
        async with self._kept_alive(held):
            taken = JobReceipt(held.job.id, "taken", self._node, _now(), held.slot, held.claim)
            if await self._broker.claim(held, taken):
                result = await self._result(held, begun)
                await self._broker.finish(held, msgspec.structs.replace(result, claim=held.claim))
        self._ledger.forget(held)

    @asynccontextmanager
    async def _kept_alive(self, held: Held) -> AsyncIterator[None]:
        async def keep() -> None:
            while True:
                await self._broker.going_on(held.ack)
                await asyncio.sleep(self._options.ack_wait_s / 3)

        keeping = asyncio.create_task(keep(), name=f"progress {held.job.id}")
        try:
            yield
        finally:
            keeping.cancel()

    async def _result(self, held: Held, begun: bool) -> JobReceipt:
        """Have the prompt typed, or join it, and wait for its end."""

        def told(state: State, receipt: Receipt | None = None, error: str | None = None) -> JobReceipt:
            return JobReceipt(held.job.id, state, self._node, _now(), held.slot, receipt=receipt, error=error)

        if time_ns() // 1_000_000 - held.since_ms > KEY_MS:
            return told("unknown", error="the node was away for too long to know what became of it")
        request = InjectRequest(text=held.job.text, until="completed", timeout_s=3600.0)
        while True:
            try:
                receipt = await self._daemon.inject(held.slot, request, key=held.job.id)
            except MeshdError as error:
                if error.code not in TRANSIENT:
                    # With its slot, what is known of a prompt is gone.
                    lost = begun and error.code == "slot_not_found"
                    return told("unknown" if lost else "failed", error=f"{error.code}: {error}")
            else:
                begun = True
                state = "done" if receipt.capped else OUTCOMES.get(receipt.stage)
                if state == "done" and receipt.error is not None:
                    state = "failed"  # the turn ended, but not with an answer
                if state is not None:
                    return told(state, receipt)
            await asyncio.sleep(_AGAIN_S)


class _Named(msgspec.Struct, frozen=True):
    """What is left of a job that is wrong otherwise."""

    id: JobId


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
