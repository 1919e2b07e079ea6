"""`MeshdClient`: each route of the protocol as a typed method, blocking."""

from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from meshd_core.client import node_calls, slot_calls, stream_starts
from meshd_core.client.call import Call, like
from meshd_core.client.connection import Endpoint, Requester
from meshd_core.client.resume import Resume, Start
from meshd_core.client.stream import events
from meshd_core.types import AttachMode, Size

if TYPE_CHECKING:
    from meshd_core.client.attach import Attachment
    from meshd_core.client.connection import Address

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E")


def _route(build: Callable[P, Call[T]]) -> Callable[Concatenate["MeshdClient", P], T]:
    """The method that carries out the call that `build` makes of the same arguments."""

    def method(self: "MeshdClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.execute(build(*args, **kwargs))

    like(build, method)
    return method


def _stream(build: Callable[P, Start[E]]) -> Callable[Concatenate["MeshdClient", P], Generator[E, None, None]]:
    """The method that follows the stream that `build` begins."""

    def method(self: "MeshdClient", /, *args: P.args, **kwargs: P.kwargs) -> Generator[E, None, None]:
        return self.follow(build(*args, **kwargs))

    like(build, method, "Iterator[{}]")
    return method


class MeshdClient:
    """One daemon, over TCP (`url`, with `token`) or its Unix socket (`socket`). For one thread at a time.

    Every method raises the `MeshdError` of the answer's code, `Unreachable` if no daemon answers in time, `BadAnswer`
    if what answers is not meshd. A slot may be named `slot` or `slot@node`. What each method takes and gives stands in
    `slot_calls`, `node_calls` and `stream_starts`.
    """

    def __init__(
        self, *, url: str | None = None, token: str | None = None, socket: Path | None = None,
        may_connect: Callable[["Address"], bool] | None = None,
    ) -> None:  # fmt: skip
        """`may_connect` judges the address that `url` led to, before anything is sent there; None: any is right."""
        self._endpoint = Endpoint(url, token, socket, may_connect)
        self._requester = Requester(self._endpoint)

    @property
    def address(self) -> str:
        """The URL or the socket's path."""
        return self._endpoint.address

    @property
    def is_local(self) -> bool:
        """Whether the daemon is reached over a Unix socket, so that it runs on this machine."""
        return self._endpoint.socket_path is not None

    def another(self) -> "MeshdClient":
        """A client of the same daemon with a connection of its own, for another thread."""
        url = None if self._endpoint.socket_path else self._endpoint.address
        known = self._endpoint
        return MeshdClient(url=url, token=known.token, socket=known.socket_path, may_connect=known.may_connect)

    def close(self) -> None:
        self._requester.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(self, call: Call[T]) -> T:
        """Carry out a call."""
        answer = self._requester.request(
            call.method,
            call.target,
            body=call.body,
            headers=call.headers,
            timeout_s=call.timeout_s,
            repeatable=call.repeatable,
        )
        return call.read(answer, self.address)

    def follow(self, start: Start[E]) -> Generator[E, None, None]:
        """Follow a stream, over a connection of its own."""
        resume = Resume(start, self.address)
        if start.before is not None:
            resume.begin(self.execute(start.before))
        return events(self._endpoint, resume)

    def attach(self, name: str, *, mode: AttachMode = "control", size: Size | None = None) -> "Attachment":
        """Attach to a slot's terminal, over a connection of its own; `size` is that of the terminal that attaches."""
        from meshd_core.client.attach import attach  # its library is needed for nothing else

        return attach(self._endpoint, name, mode, size)

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
