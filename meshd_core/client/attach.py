"""An attached terminal, the client's end: a WebSocket on the same connection that any request would take.

It is for a loop that waits for a person as well: `fileno` to wait on, `receive` and `send` that never block.
"""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlencode

import msgspec
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from meshd_core.client.answers import BadAnswer, Unreachable, error_from
from meshd_core.client.call import path
from meshd_core.client.connection import ANSWER_TIMEOUT_S, Endpoint, reason
from meshd_core.types import AttachMessage, AttachMode, AttachResize, Size

SILENCE_S = 50.0
"""The daemon sends a ping every 20 s: a connection that was silent for so long is lost."""
MAX_UNSENT_BYTES = 256 * 1024
_MAX_BODY_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_READS = 16
_GOING_AWAY = 1001
_BLOCKED = (BlockingIOError, InterruptedError)


class Lost(ConnectionError):
    """The connection broke, or the daemon is ending: attach again."""


class Refused(Exception):
    """The daemon ended it for good, as when the credential was revoked."""


class Attachment:
    """One connection; made by `attach`. Not for use by two threads."""

    def __init__(self, connection: http.client.HTTPConnection, socket_: socket.socket, websocket: WSConnection) -> None:
        self._connection, self._socket, self._websocket = connection, socket_, websocket
        self._unsent = bytearray()
        self._text: list[str] = []
        self._heard_at = time.monotonic()

    def fileno(self) -> int:
        """What to wait on."""
        return self._socket.fileno()

    @property
    def wants_to_send(self) -> bool:
        """Whether something waits until the socket can be written."""
        return bool(self._unsent)

    @property
    def takes_more(self) -> bool:
        """Whether keys should be read: the daemon takes them."""
        return len(self._unsent) < MAX_UNSENT_BYTES

    @property
    def silent_s(self) -> float:
        """Seconds since the daemon was last heard; past `SILENCE_S` it is gone."""
        return time.monotonic() - self._heard_at

    def receive(self) -> Iterator[bytes | AttachMessage]:
        """What has come, without waiting. Raises Lost, Refused."""
        yield from self._events()
        for _ in range(_READS):
            data = self._read()
            if data is None:
                return
            if not data:
                raise Lost("the connection was closed")
            self._heard_at = time.monotonic()
            self._websocket.receive_data(data)
            yield from self._events()

    def send(self, keys: bytes) -> None:
        """Send what was typed. Raises Lost."""
        self._write(BytesMessage(data=keys))

    def resize(self, size: Size) -> None:
        """Ask for another size. Raises Lost."""
        request = msgspec.json.encode(AttachResize(rows=size.rows, cols=size.cols))
        self._write(TextMessage(data=request.decode()))

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it. Raises Lost."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except _BLOCKED:
            pass
        except OSError as error:
            if type(error).__name__ not in ("SSLWantReadError", "SSLWantWriteError"):
                raise Lost(str(error)) from error

    def close(self) -> None:
        """Say goodbye and close; never blocks for long, never raises."""
        with contextlib.suppress(Lost):
            self._write(CloseConnection(code=1000))
        self._connection.close()
        self._socket.close()

    def _read(self) -> bytes | None:
        try:
            return self._socket.recv(_READ_BYTES)
        except _BLOCKED:
            return None
        except OSError as error:
            if type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError"):
                return None
            raise Lost(str(error)) from error

    def _events(self) -> Iterator[bytes | AttachMessage]:
        try:
            for event in self._websocket.events():
                yield from self._taken(event)
        except ProtocolError as error:
            raise Lost(f"the daemon broke the protocol: {error}") from error

    def _taken(self, event: Event) -> Iterator[bytes | AttachMessage]:
        match event:
            case BytesMessage():
                yield bytes(event.data)
            case TextMessage():
                self._text.append(event.data)
                if event.message_finished:
                    text, self._text = "".join(self._text), []
                    message = _message(text)
                    if message is not None:
                        yield message
            case Ping():
                self._write(event.response())
            case CloseConnection():
                if event.code in (_GOING_AWAY, 1006):
                    raise Lost("the daemon is ending")
                raise Refused(event.reason or f"the daemon closed the connection ({event.code})")
            case _:
                pass

    def _write(self, event: Event) -> None:
        if self._websocket.state is not ConnectionState.OPEN:
            raise Lost("the connection is closing")
        self._unsent += self._websocket.send(event)
        self.flush()


def attach(endpoint: Endpoint, slot: str, mode: AttachMode = "control", size: Size | None = None) -> Attachment:
    """Attach to `slot`. Raises the MeshdError of a refusal, Unreachable, BadAnswer."""
    query: dict[str, str | int] = {"mode": mode} if mode == "view" else {}
    if size is not None:
        query |= {"rows": size.rows, "cols": size.cols}
    target = endpoint.prefix + path("attach", slot) + (f"?{urlencode(query)}" if query else "")
    connection = endpoint.open()
    try:
        sock = connection.sock
        sock.settimeout(ANSWER_TIMEOUT_S)
        websocket = WSConnection(ConnectionType.CLIENT)
        headers = [(name.encode(), value.encode()) for name, value in endpoint.headers().items()]
        sock.sendall(websocket.send(Request(host=_authority(connection), target=target, extra_headers=headers)))
        _await_acceptance(sock, websocket, endpoint.address)
        sock.setblocking(False)
    except (OSError, ProtocolError) as error:
        connection.close()
        if isinstance(error, Unreachable):
            raise
        if isinstance(error, ProtocolError):
            raise BadAnswer(f"{endpoint.address} does not answer as a WebSocket should: {error}") from error
        raise Unreachable(endpoint.address, reason(error)) from error
    except BaseException:
        connection.close()
        raise
    return Attachment(connection, sock, websocket)


def _await_acceptance(sock: socket.socket, websocket: WSConnection, address: str) -> None:
    status, body = 0, b""
    while True:
        data = sock.recv(_READ_BYTES)
        websocket.receive_data(data or None)
        for event in websocket.handshake.events():  # what follows the answer stays in `websocket`
            match event:
                case AcceptConnection():
                    return
                case RejectConnection():
                    status = event.status_code
                case RejectData():
                    body += event.data
                    if event.body_finished or len(body) > _MAX_BODY_BYTES:
                        raise error_from(status, body, address)
                case _:
                    pass
        if not data:
            raise BadAnswer(f"{address} closed the connection instead of answering")


def _message(text: str) -> AttachMessage | None:
    """A message of the daemon; None for one that this client doesn't know."""
    try:
        found: AttachMessage = msgspec.json.decode(text, type=AttachMessage)
    except msgspec.DecodeError:
        return None
    return found


def _authority(connection: http.client.HTTPConnection) -> str:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    default: Literal[80, 443] = 443 if isinstance(connection, http.client.HTTPSConnection) else 80
    return host if connection.port in (None, default) else f"{host}:{connection.port}"
