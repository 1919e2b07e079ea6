"""uvicorn's HTTP/1.1 protocol with what it lacks: header deadline, admission, peer credentials, errors in our form.

Facts (seen in runs): h11 waits for slow headers for ever; uvicorn answers a malformed request in plain text; asyncio's
default write buffer takes 64 KiB on top of each send before it says stop, so here it says stop at the first byte.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any, Protocol, cast

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from meshd_core.errors import InvalidRequest, MeshdError, Overloaded, TooLarge
from meshd_core.http.exchange import ClientGone
from meshd_core.http.limits import Admission
from meshd_core.http.peer import Peer, peer_of
from meshd_core.types import ErrorAnswer, ErrorBody

HEADER_DEADLINE_S = 10.0
MAX_INCOMPLETE_BYTES = 32 * 1024
_UNACKNOWLEDGED_MS = 45_000
SWITCHED_SEND_BYTES = 32 * 1024
"""What the kernel may hold of a connection that is no longer HTTP (Linux doubles it). By itself it takes megabytes for
a reader that stands still, and a person would see that much old output before the answer to their key."""

log = logging.getLogger(__name__)


class Successor(Protocol):
    """Takes the bytes of a connection that is no longer HTTP."""

    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self) -> None: ...


class Connection(Protocol):
    """What a request may know of and do to its connection."""

    peer: Peer
    on_lost: Callable[[], None] | None

    @property
    def gone(self) -> bool: ...
    @property
    def local_address(self) -> str | None: ...
    @property
    def local_port(self) -> int | None: ...
    def identified(self) -> None: ...
    def abort(self) -> None: ...
    async def write_chunk(self, chunk: bytes) -> None: ...
    def switch(self, answer: bytes, successor: Successor) -> None: ...
    def write_raw(self, data: bytes) -> None: ...
    async def drained(self) -> None: ...
    @property
    def unsent_bytes(self) -> int: ...
    def hold_reading(self, hold: bool) -> None: ...
    def finish(self) -> None: ...
    def cork(self) -> AbstractContextManager[None]: ...


class _Cork:
    """Stands in for a transport while one answer is made: keeps what is written until it is whole."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts = []


class RequestIds:
    """Ids that name one request in answers, the log and the audit log; unique across restarts."""

    def __init__(self) -> None:
        self._prefix = os.urandom(6).hex().encode()
        self._count = count(1)

    def next(self) -> bytes:
        return b"%b-%x" % (self._prefix, next(self._count))


class MeshdProtocol(H11Protocol):
    """One connection. `admission` and `request_ids` are those of its server."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        admission: Admission,
        request_ids: RequestIds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._admission = admission
        self._request_ids = request_ids
        self._deadline: asyncio.TimerHandle | None = None
        self.peer = Peer("")
        self.on_lost: Callable[[], None] | None = None
        self._successor: Successor | None = None

    # -- what requests use --

    @property
    def gone(self) -> bool:
        """Whether the connection is closed or closing."""
        return self.transport.is_closing()

    @property
    def local_address(self) -> str | None:
        """The address of ours that the client connected to; None on the Unix socket."""
        return None if self.peer.local or self.server is None else self.server[0]

    @property
    def local_port(self) -> int | None:
        """The port of ours that the client connected to; None on the Unix socket."""
        return None if self.peer.local or self.server is None else self.server[1]

    def identified(self) -> None:
        """The caller showed a good credential: this connection no longer counts against its address."""
        self._admission.known(self)

    def abort(self) -> None:
        """Close at once, whatever was still to be sent."""
        self.transport.abort()

    @contextmanager
    def cork(self) -> Iterator[None]:
        """Send status, headers and body of the answer made within as one write.

        uvicorn writes them one by one; each is a system call and wakes the client, which is most of a short request.
        """
        cycle = self.cycle
        cork = _Cork(cycle.transport)
        cycle.transport = cast(asyncio.Transport, cork)
        try:
            yield
        finally:
            cycle.transport = self.transport
            cork.flush()

    async def write_chunk(self, chunk: bytes) -> None:
        """Send bytes that are framed as an HTTP chunk already, once the socket took everything before.

        Streams send the same events to many readers: framing them once and passing h11's per-send work costs a
        fraction (docs/architecture.md has the figures). Only within a chunked answer. Raises ClientGone.
        """
        if self.flow.write_paused:
            await self.flow.drain()
        if self.transport.is_closing():
            raise ClientGone
        self.transport.write(chunk)

    # -- what a connection that is no longer HTTP uses --

    def switch(self, answer: bytes, successor: Successor) -> None:
        """Send `answer` to the request that asked for another protocol; all further bytes go to `successor`."""
        self._disarm()
        self._unset_keepalive_if_required()
        self.cycle.response_started = self.cycle.response_complete = True
        self._successor = successor
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SWITCHED_SEND_BYTES)
        self.transport.write(answer)
        early, _ = self.conn.trailing_data
        self.flow.resume_reading()
        if early:
            successor.data_received(early)

    def write_raw(self, data: bytes) -> None:
        """Send `data` as it is; dropped if the connection is closing."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the socket took everything that was written."""
        if self.flow.write_paused:
            await self.flow.drain()

    @property
    def unsent_bytes(self) -> int:
        """What was written and the socket did not take yet."""
        return self.transport.get_write_buffer_size()

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on taking bytes from the client."""
        if not self.transport.is_closing():
            (self.flow.pause_reading if hold else self.flow.resume_reading)()

    def finish(self) -> None:
        """Close, once what was written is sent."""
        self.transport.close()

    def shutdown(self) -> None:
        """The server ends; what is no longer HTTP is told by its own session."""
        if self._successor is None:
            super().shutdown()

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        try:
            self.peer = peer_of(sock)
            _set_tcp_options(sock)
        except OSError:
            transport.abort()
            return
        # uvicorn copies this into each request's scope.
        self.app_state = {"connection": cast(Connection, self)}
        if not self._admission.admit(self, self.peer.address, len(self.connections)):
            self._refuse(Overloaded("there are too many connections", hint="try again in a few seconds"))
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        self._admission.known(self)
        super().connection_lost(exc)
        self.app_state = {}
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None
        if self._successor is not None:
            self._successor.connection_lost()

    def data_received(self, data: bytes) -> None:
        if self._successor is not None:
            self._successor.data_received(data)
            return
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._arm()
        elif self._deadline is not None:
            self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._deadline is not None and self.conn.their_state is not h11.IDLE:
            self._disarm()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is no HTTP; in the midst of an answer all that's left is to close."""
        self._disarm()
        if len(self.conn.trailing_data[0]) > MAX_INCOMPLETE_BYTES:
            self._refuse(TooLarge("the headers are too large", limit_bytes=MAX_INCOMPLETE_BYTES))
        else:
            self._refuse(InvalidRequest("this is not a valid HTTP/1.1 request"))

    def _refuse(self, error: MeshdError) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        ):
            found = ErrorBody(error.code, error.message, error.hint, dict(error.details))
            body = msgspec.json.encode(ErrorAnswer(found))
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"meshd-request-id", self._request_ids.next()),
                (b"connection", b"close"),
            ]
            head = h11.Response(status_code=error.status, headers=headers, reason=STATUS_PHRASES[error.status])
            events = (head, h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _arm(self) -> None:
        """Start the deadline for complete headers, unless it runs: more bytes must not extend it."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_DEADLINE_S, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE:
            self.transport.abort()


def _set_tcp_options(sock: socket.socket) -> None:
    """Send at once, and let the kernel notice a peer that vanished (half-open TCP) within a minute.

    asyncio sets TCP_NODELAY only where the listening socket was made with its protocol's number; without it every
    answer waits 40 ms for the peer's delayed acknowledgement.
    """
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
