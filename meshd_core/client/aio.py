"""`AsyncMeshdClient`: each route of the protocol as a typed method, for asyncio."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from meshd_core.client import node_calls, slot_calls, stream_starts
from meshd_core.client.aio_connection import AsyncRequester, was_closed
from meshd_core.client.aio_stream import events
from meshd_core.client.answers import Unreachable
from meshd_core.client.call import Call, like
from meshd_core.client.connection import Answer, Endpoint
from meshd_core.client.resume import Resume, Start

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E")


def _route(build: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncMeshdClient", P], Coroutine[Any, Any, T]]:
    """The method that carries out the call that `build` makes of the same arguments."""

    async def method(self: "AsyncMeshdClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.execute(build(*args, **kwargs))

    like(build, method)
    return method


def _stream(build: Callable[P, Start[E]]) -> Callable[Concatenate["AsyncMeshdClient", P], AsyncGenerator[E, None]]:
    """The method that follows the stream that `build` begins."""

    def method(self: "AsyncMeshdClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[E, None]:
        return self.follow(build(*args, **kwargs))

    like(build, method, "AsyncIterator[{}]")
    return method


class AsyncMeshdClient:
    """As `MeshdClient`, with the same methods to await; many at a time, inside one event loop. `close` it.

    A stream that is left before its end should be closed with `aclose` (`contextlib.aclosing`).
    """

    def __init__(self, *, url: str | None = None, token: str | None = None, socket: Path | None = None) -> None:
        self._endpoint = Endpoint(url, token, socket)
        self._requester = AsyncRequester(self._endpoint)

    @property
    def address(self) -> str:
        """The URL or the socket's path."""
        return self._endpoint.address

    @property
    def is_local(self) -> bool:
        """Whether the daemon is reached over a Unix socket, so that it runs on this machine."""
        return self._endpoint.socket_path is not None

    async def close(self) -> None:
        await self._requester.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def execute(self, call: Call[T]) -> T:
        """Carry out a call."""
        try:
            answer = await self._send(call)
        except Unreachable as error:
            if not (call.repeatable and was_closed(error)):
                raise
            answer = await self._send(call)
        return call.read(answer, self.address)

    async def follow(self, start: Start[E]) -> AsyncGenerator[E, None]:
        """Follow a stream, over a connection of its own."""
        resume = Resume(start, self.address)
        if start.before is not None:
            resume.begin(await self.execute(start.before))
        async with aclosing(events(self._requester, resume)) as found:
            async for event in found:
                yield event

    async def _send(self, call: Call[Any]) -> Answer:
        return await self._requester.request(
            call.method, call.target, body=call.body, headers=call.headers, timeout_s=call.timeout_s
        )

    slots = _route(slot_calls.slots)
    slot = _route(slot_calls.slot)
    start = _route(slot_calls.start)
    stop = _route(slot_calls.stop)
    restart = _route(slot_calls.restart)
    inject = _route(slot_calls.inject)
    receipt = _route(slot_calls.receipt)
    cancel = _route(slot_calls.cancel)
    output = _route(slot_calls.output)
    screen = _route(slot_calls.screen)
    messages = _route(slot_calls.messages)
    keys = _route(slot_calls.keys)
    raw_keys = _route(slot_calls.raw_keys)
    interrupt = _route(slot_calls.interrupt)
    answer = _route(slot_calls.answer)
    resize = _route(slot_calls.resize)

    health = _route(node_calls.health)
    node = _route(node_calls.node)
    plugins = _route(node_calls.plugins)
    openapi = _route(node_calls.openapi)
    metrics = _route(node_calls.metrics)
    reload = _route(node_calls.reload)
    shutdown = _route(node_calls.shutdown)
    ticket = _route(node_calls.ticket)
    tokens = _route(node_calls.tokens)
    create_token = _route(node_calls.create_token)
    revoke_token = _route(node_calls.revoke_token)
    mesh_nodes = _route(node_calls.mesh_nodes)
    mesh_slots = _route(node_calls.mesh_slots)
    mesh_inject = _route(node_calls.mesh_inject)
    mesh_broadcast = _route(node_calls.mesh_broadcast)
    sinks = _route(node_calls.sinks)

    stream = _stream(stream_starts.stream)
    mesh_stream = _stream(stream_starts.mesh_stream)
