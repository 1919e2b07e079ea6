"""NATS as the engine needs it: take a job, claim it, say what became of it.

A claim is the first message of a job's subject in the stream of results, written under the condition that there is
none. The broker's memory of what it delivered may be lost with it; that message is not. So a job that is delivered
twice is begun once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from meshd_nats.ledger import Held
from meshd_nats.options import NatsOptions
from meshd_nats.wire import JobReceipt, Names, fitted

PULL_S = 1.0
"""How long the broker holds a request for a job."""
ANSWER_S = 5.0
CONNECT_S = 10.0
AGAIN_S = 1.0
MAX_SWEEP = 10_000
MAX_RESULT = 1 << 20
"""Bytes of a result, however much the broker takes."""
HEADER_BYTES = 256
"""What the headers of a message may take of its size."""
_WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code for a condition that does not hold. Source: errors.json of nats-server."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class NoBroker(Exception):
    """NATS can't be used; the message holds no credential."""


class Broker:
    """One connection, which comes back by itself; made by `connected`."""

    def __init__(self, client: Client, options: NatsOptions, names: Names) -> None:
        self._client, self._options, self._names = client, options, names
        self._js = client.jetstream(timeout=ANSWER_S)

    @classmethod
    @asynccontextmanager
    async def connected(cls, options: NatsOptions, node: str, login: dict[str, Any]) -> AsyncIterator["Broker"]:
        """Raises NoBroker."""
        try:
            async with asyncio.timeout(CONNECT_S):
                client = await nats.connect(
                    options.servers, name=f"meshd {node}", max_reconnect_attempts=-1, reconnect_time_wait=1,
                    connect_timeout=5, error_cb=_noted, disconnected_cb=_disconnected, reconnected_cb=_reconnected,
                    **login,
                )  # fmt: skip
        except (NatsError, OSError, ValueError) as error:
            raise NoBroker(f"no NATS server of {len(options.servers)} can be used: {type(error).__name__}") from None
        broker = cls(client, options, Names(options.prefix))
        try:
            await broker._make_streams()
            yield broker
        finally:
            await client.close()

    # -- streams --

    async def _make_streams(self) -> None:
        options, names = self._options, self._names
        await self._make_stream(
            StreamConfig(
                name=names.jobs, subjects=[names.job(">")], retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE, num_replicas=options.replicas, duplicate_window=3600,
            )
        )  # fmt: skip
        await self._make_stream(
            StreamConfig(
                name=names.results, subjects=[names.result(">")], storage=StorageType.FILE,
                max_age=options.keep_days * 86_400, max_msgs_per_subject=10, num_replicas=options.replicas,
            )
        )  # fmt: skip

    async def _make_stream(self, config: StreamConfig) -> None:
        """A stream that is there stays as it is: an administrator may have made it."""
        assert config.name is not None
        try:
            found = await self._js.stream_info(config.name)
        except NotFoundError:
            await self._js.add_stream(config)
            return
        except (NatsError, TimeoutError) as error:
            raise NoBroker(f"JetStream does not answer: {type(error).__name__}; is it enabled?") from None
        if config.retention is not None and found.config.retention != config.retention:
            raise NoBroker(f"the stream {config.name} is there and is no work queue: set another prefix")

    async def make_consumer(self, kind: str) -> None:
        """The durable consumer that all nodes share for `kind`; one that is there stays as it is."""
        name = self._names.consumer(kind)
        try:
            await self._js.consumer_info(self._names.jobs, name)
        except NotFoundError:
            config = ConsumerConfig(
                durable_name=name, filter_subject=self._names.job(kind), ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._options.ack_wait_s, max_deliver=self._options.max_deliver, max_ack_pending=10_000,
            )  # fmt: skip
            await self._js.add_consumer(self._names.jobs, config)

    # -- one job --

    async def pull(self, kind: str) -> Msg | None:
        """A job of `kind`, or None after about PULL_S. The answer is awaited for longer than the broker may take:
        one that came to nobody would count as delivered.
        """
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._names.jobs}.{self._names.consumer(kind)}"
        request = msgspec.json.encode({"batch": 1, "expires": int(PULL_S * 1e9)})
        try:
            # Old style, with an inbox of its own: a job comes under its own subject, by which the new style, with one
            # inbox for all, can't tell whose it is.
            message = await self._client.request(subject, request, timeout=PULL_S + ANSWER_S, old_style=True)
        except (NatsError, TimeoutError):
            await asyncio.sleep(AGAIN_S)
            return None
        status = (message.headers or {}).get("Status")
        if status is None:
            return message
        if status != "408":  # 408: there was none; anything else, as 409, is worth a pause
            await asyncio.sleep(AGAIN_S)
        return None

    async def claim(self, held: Held, taken: JobReceipt) -> bool:
        """Whether the job is ours, now or already. Tries until the broker answers."""
        return await self._until_answered(lambda: self._claim(held, taken))

    async def _claim(self, held: Held, taken: JobReceipt) -> bool:
        last, seq = await self.last(held.job.id)
        if last is not None and last.claim == held.claim and last.state in ("taken", "lost"):
            return True
        if last is not None and last.state not in ("taken", "lost"):
            await self.remove(held.seq, held.ack)
            return False
        if last is not None and held.deliveries < 2:
            return False  # somebody else's; only a delivery that was meant to replace his may
        if await self._publish(taken, after=seq):
            return True
        again, _ = await self.last(held.job.id)
        return again is not None and again.claim == held.claim

    async def finish(self, held: Held, result: JobReceipt) -> None:
        """Tell what became of the job, and take it off the queue. Tries until the broker answers."""

        async def tell() -> None:
            await self._publish(fitted(result, await self._largest()))

        await self._until_answered(tell)
        await self._until_answered(lambda: self.remove(held.seq, held.ack))

    async def _largest(self) -> int:
        """Bytes that a result may have: what the server takes, or less if the stream does."""
        limit = (await self._js.stream_info(self._names.results)).config.max_msg_size or 0
        return min(MAX_RESULT, self._client.max_payload, limit if limit > 0 else MAX_RESULT) - HEADER_BYTES

    async def remove(self, seq: int, ack: str) -> None:
        """Off the queue, also if the broker has forgotten that it had delivered it."""
        await self._client.publish(ack, Msg.Ack.Ack)
        try:
            await self._js.delete_msg(self._names.jobs, seq)
        except APIError as error:
            if error.code is not None and error.code >= 500 and error.err_code not in (10043, 10057):
                raise

    async def going_on(self, ack: str) -> None:
        """The job is being worked on: its time starts anew."""
        with suppress(NatsError, OSError):  # the next one may come through
            await self._client.publish(ack, Msg.Ack.Progress)

    async def last(self, job: str) -> tuple[JobReceipt | None, int]:
        """The newest word about a job, and its number; 0: there is none."""
        try:
            message = await self._js.get_last_msg(self._names.results, self._names.result(job))
        except NotFoundError:
            return None, 0
        return msgspec.json.decode(message.data or b"", type=JobReceipt), message.seq or 0

    async def _publish(self, result: JobReceipt, after: int | None = None) -> bool:
        """False: `after` is no longer the number of the newest word about the job."""
        headers = None if after is None else {"Nats-Expected-Last-Subject-Sequence": str(after)}
        try:
            await self._js.publish(
                self._names.result(result.job), msgspec.json.encode(result), headers=headers,
                stream=self._names.results,
            )  # fmt: skip
        except APIError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                return False
            raise
        return True

    async def refuse(self, message: Msg, result: JobReceipt | None) -> None:
        """Not a job: off the queue, with a word about it if it has a name that nobody else used."""
        if result is not None:
            await self._until_answered(lambda: self._publish(result, after=0))
        await self._until_answered(lambda: self.remove(message.metadata.sequence.stream, message.reply))

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except MaxPayloadError:
                raise  # it would be too large for ever
            except (NatsError, OSError, msgspec.DecodeError) as error:
                log.warning("NATS does not answer; trying again", extra={"reason": type(error).__name__})
                await asyncio.sleep(AGAIN_S)

    # -- jobs that nobody ended --

    async def watch_lost(self, node: str) -> None:
        """Look after jobs whose time ran out; of all nodes, one hears of each."""
        subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{self._names.jobs}.*"
        heard = await self._client.subscribe(subject, queue=f"{self._names.prefix}-lost")
        async for message in heard.messages:
            seq = msgspec.json.decode(message.data, type=dict[str, Any]).get("stream_seq")
            if isinstance(seq, int):
                await self._until_answered(lambda seq=seq: self._look_after(seq, node))  # type: ignore[misc]

    async def sweep(self, kind: str, node: str) -> None:
        """Look after jobs of `kind` that were delivered while nobody listened, and that nobody has begun."""
        info = await self._js.consumer_info(self._names.jobs, self._names.consumer(kind))
        upto = (info.delivered.stream_seq if info.delivered else 0) or 0
        seq = 1
        for _ in range(MAX_SWEEP):
            try:
                message = await self._js.get_msg(self._names.jobs, seq, self._names.job(kind), next=True)
            except NotFoundError:
                return
            if message.seq is None or message.seq > upto:
                return
            await self._look_after(message.seq, node, begun=False)
            seq = message.seq + 1

    async def _look_after(self, seq: int, node: str, *, begun: bool = True) -> None:
        """Put a job back if nobody has begun it; if it was `begun`, mark it lost."""
        try:
            message = await self._js.get_msg(self._names.jobs, seq)
            job = msgspec.json.decode(message.data or b"", type=dict[str, Any]).get("id")
        except (NotFoundError, msgspec.DecodeError):
            return
        last, last_seq = await self.last(str(job))
        if last is None:
            assert message.subject is not None
            # Another id for the broker's own memory; if both are delivered, only one can be claimed.
            await self._js.publish(message.subject, message.data or b"", headers={"Nats-Msg-Id": f"{job}/{seq}"})
            await self._js.delete_msg(self._names.jobs, seq)
        elif last.state not in ("taken", "lost"):
            await self._js.delete_msg(self._names.jobs, seq)  # it has ended; its acknowledgement got lost
        elif last.state == "taken" and begun:
            await self._publish(
                msgspec.structs.replace(last, state="lost", error=f"{last.node} is silent; told by {node}"), last_seq
            )


async def _noted(error: Exception) -> None:
    log.warning("NATS", extra={"reason": type(error).__name__})


async def _disconnected() -> None:
    log.warning("the connection to NATS is lost; it is tried again")


async def _reconnected() -> None:
    log.info("the connection to NATS is back")
