"""A WebSocket on a connection whose upgrade request passed every check of an ordinary request.

The handshake is answered by a route's handler, so that whoever is refused gets our HTTP error. After it the bytes of
the connection come here instead of to the HTTP parser. Frames are the library's (wsproto, RFC 6455); bounds are ours.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import h11
from msgspec import Struct
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from meshd_core.errors import InvalidRequest

if TYPE_CHECKING:
    from meshd_core.http.exchange import Exchange

MAX_MESSAGE_BYTES = 64 * 1024
"""Of one message from the client; a longer one ends the connection with 1009."""
PING_EVERY_S = 20.0
SILENCE_S = 60.0
"""A client from which nothing came for so long, not even a pong, is gone."""
CLOSE_WAIT_S = 1.5
"""How long the other end may take to answer a close."""
_MAX_WAITING_BYTES = 64 * 1024
_MAX_UNSENT_CONTROL_BYTES = 4096

Message = bytes | str


class Closed(Exception):
    """The other end closed the connection or vanished, or broke the protocol; `code` is what it is closed with."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _Waiting(Struct):
    """A message that was received and not taken yet."""

    content: bytearray | str


class WebSocket:
    """The server's end. Made for an upgrade request; nothing is answered before `accept`."""

    def __init__(self, exchange: "Exchange") -> None:
        """Check the handshake. Raises InvalidRequest."""
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._connection = WSConnection(ConnectionType.SERVER)
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._partial: list[Message] = []
        self._partial_bytes = 0
        self._closed: Closed | None = None
        self._came = asyncio.Event()
        self._ended = asyncio.Event()
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._check(exchange)

    def _check(self, exchange: "Exchange") -> None:
        headers = exchange.headers
        if headers.get("upgrade", "").lower() != "websocket" or exchange.scope["http_version"] != "1.1":
            raise InvalidRequest("this route speaks WebSocket", hint="send an HTTP/1.1 upgrade request for 'websocket'")
        if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
            raise InvalidRequest("an upgrade request has no body")
        raw = [(name, value) for name, value in exchange.scope["headers"] if name != b"host"]
        try:
            # The gate has judged the Host already; through the Unix socket it may be anything.
            self._connection.initiate_upgrade_connection([*raw, (b"host", b"localhost")], b"/")
        except (RemoteProtocolError, LocalProtocolError, h11.ProtocolError, UnicodeError) as error:
            raise InvalidRequest(f"this is no WebSocket handshake: {error}", hint="version 13, RFC 6455") from None

    def accept(self) -> None:
        """Answer 101; from here on the connection is a WebSocket."""
        list(self._connection.events())  # the request, which is known
        headers = [(b"meshd-request-id", self._exchange.request_id), *self._exchange.extra]
        self._exchange.started = True
        answer = self._connection.send(AcceptConnection(extra_headers=headers))
        self._exchange.connection.switch(answer, self)
        self._timer = self._loop.call_later(PING_EVERY_S, self._ping)

    # -- what the connection tells --

    def data_received(self, data: bytes) -> None:
        """Bytes came after the handshake."""
        self._heard_at = self._loop.time()
        if self._closed is not None and self._connection.state is not ConnectionState.LOCAL_CLOSING:
            return
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._take(event)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._end(Closed(CloseReason.PROTOCOL_ERROR, str(error)))
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            self._exchange.connection.hold_reading(True)

    def connection_lost(self) -> None:
        """The connection is gone."""
        self._ended.set()
        self._end(Closed(CloseReason.ABNORMAL_CLOSURE, "the connection was lost"))

    def _take(self, event: Event) -> None:
        match event:
            case BytesMessage() | TextMessage():
                self._take_part(event.data, event.message_finished)
            case Ping():
                if self._exchange.connection.unsent_bytes < _MAX_UNSENT_CONTROL_BYTES:
                    self._write(Pong(payload=bytes(event.payload)))
            case CloseConnection():
                self._ended.set()
                code = event.code if event.code != CloseReason.NO_STATUS_RCVD else CloseReason.NORMAL_CLOSURE
                self._end(Closed(int(code), event.reason or ""))
            case _:
                pass

    def _take_part(self, data: Message | bytearray, finished: bool) -> None:
        part: Message = data if isinstance(data, str) else bytes(data)
        self._partial.append(part)
        self._partial_bytes += len(part) + 1
        if self._partial_bytes > MAX_MESSAGE_BYTES:
            self._partial.clear()
            self._end(Closed(CloseReason.MESSAGE_TOO_BIG, f"a message has at most {MAX_MESSAGE_BYTES} bytes"))
        elif finished:
            whole = _joined(self._partial)
            self._partial, self._partial_bytes = [], 0
            self._waiting_bytes += len(whole)
            newest = self._waiting[-1].content if self._waiting else None
            if isinstance(whole, bytes) and isinstance(newest, bytearray):
                newest += whole  # a flood of tiny messages takes no more room than their bytes
            else:
                self._waiting.append(_Waiting(whole if isinstance(whole, str) else bytearray(whole)))
                self._waiting_bytes += 64
            self._came.set()

    def _end(self, closed: Closed) -> None:
        if self._closed is None:
            self._closed = closed
            self._came.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self) -> None:
        if self._loop.time() - self._heard_at > SILENCE_S:
            self._exchange.connection.abort()
            return
        if self._exchange.connection.unsent_bytes < _MAX_UNSENT_CONTROL_BYTES:
            self._write(Ping())
        self._timer = self._loop.call_later(PING_EVERY_S, self._ping)

    # -- what the session does --

    async def receive(self) -> Message:
        """The next message; consecutive binary messages may be joined. Raises Closed."""
        while not self._waiting:
            if self._closed is not None:
                raise self._closed
            self._came.clear()
            await self._came.wait()
        content = self._waiting.popleft().content
        self._waiting_bytes = 0 if not self._waiting else self._waiting_bytes - len(content) - 64
        if self._waiting_bytes <= _MAX_WAITING_BYTES:
            self._exchange.connection.hold_reading(False)
        return content if isinstance(content, str) else bytes(content)

    async def send(self, message: Message) -> None:
        """Send one message, once the socket took everything before. Raises Closed."""
        await self._exchange.connection.drained()
        if self._closed is not None:
            raise self._closed
        if isinstance(message, str):
            self._write(TextMessage(data=message))
        else:
            self._write(BytesMessage(data=message))

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, wait a moment for the answer, then close, whatever the other end does."""
        connection = self._exchange.connection
        self._end(Closed(code, reason))
        if not connection.gone:
            self._write(CloseConnection(code=code, reason=reason[:100]))
            connection.hold_reading(False)
            try:
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await self._ended.wait()
                    await connection.drained()
            except TimeoutError:
                connection.abort()
        connection.finish()

    def _write(self, event: Event) -> None:
        try:
            data = self._connection.send(event)
        except LocalProtocolError:
            return  # it is closing: nobody waits for this any more
        self._exchange.connection.write_raw(data)


def _joined(parts: list[Message]) -> Message:
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if texts else b"".join(part for part in parts if isinstance(part, bytes))
