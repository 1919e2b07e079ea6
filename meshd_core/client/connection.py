"""One HTTP/1.1 connection at a time to one daemon, over TCP, TLS or a Unix socket, with a timeout on every wait.

A kept-alive connection that the daemon closed meanwhile shows itself only when it is used: requests that may be
repeated are, once, on a fresh connection.
"""

import errno
import http.client
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from meshd_core.client.answers import BadAnswer, NoHttp, Unreachable
from meshd_core.unix_socket import socket_address

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    Address = IPv4Address | IPv6Address

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
GIVEN_UP_S = 20
"""After this long the kernel drops what the other end did not acknowledge, also if the connection was closed meanwhile
or this process died (Linux; seen in a run: without it, what was sent before a close arrived when the network was back).
"""
KEPT_ALIVE_S = 2.0  # below the server's keep-alive time, so that a request seldom meets a closed connection
_LOST = (OSError, http.client.IncompleteRead)


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    """By name, in any spelling; filled by the asynchronous requester."""


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection through a Unix socket, of any path length that the platform can reach."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            with socket_address(self._path) as address:
                sock.connect(address)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class Endpoint:
    """Where a daemon is and with which token: opens connections. Exactly one of `url` and `socket_path` is given.

    `may_connect` judges the address that a connection led to, before anything is sent there.
    """

    def __init__(
        self, url: str | None, token: str | None, socket_path: Path | None,
        may_connect: Callable[["Address"], bool] | None = None,
    ) -> None:  # fmt: skip
        if (url is None) == (socket_path is None):
            raise ValueError("give either a URL or a socket")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
            raise ValueError("the token is empty or has characters that no token has")
        self.socket_path = socket_path
        self.token = token
        self.may_connect = may_connect
        self._tls, self._host, self._port, self.prefix = _parts(url) if url is not None else (False, "", 0, "")
        self.address = url if url is not None else str(socket_path)

    def open(self) -> http.client.HTTPConnection:
        """A connected connection. Raises `Unreachable`."""
        connection = self._connection()
        try:
            connection.connect()
            self._judge(connection.sock)
        except (OSError, ValueError) as error:
            connection.close()
            raise Unreachable(self.address, reason(error)) from error
        return connection

    def _connection(self) -> http.client.HTTPConnection:
        if self.socket_path is not None:
            return UnixConnection(self.socket_path, CONNECT_TIMEOUT_S)
        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=CONNECT_TIMEOUT_S)

    def _judge(self, sock: socket.socket) -> None:
        """Raises OSError if nothing may be sent to where `sock` leads."""
        if self.may_connect is None or self.socket_path is not None:
            return
        import ipaddress  # needed by few

        found = ipaddress.ip_address(str(sock.getpeername()[0]).partition("%")[0])
        if not self.may_connect(found):
            raise OSError(errno.EACCES, f"plain http to {found} is not allowed")

    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


class Requester:
    """Sends requests one after another, keeping the connection between them. Not for use by two threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        repeatable: bool,
    ) -> Answer:
        """The answer, whatever its status. Raises `Unreachable` (also when it takes longer than `timeout_s`).

        `repeatable`: the request may be sent again, once, if a kept connection turns out to be closed.
        """
        if self._connection is not None and time.monotonic() - self._used_at > KEPT_ALIVE_S:
            self.close()
        kept = self._connection is not None
        try:
            return self._once(method, target, body, headers or {}, timeout_s)
        except _LOST as error:
            if not (kept and repeatable) or isinstance(error, Unreachable):
                raise self._unreachable(error) from error
        try:
            return self._once(method, target, body, headers or {}, timeout_s)
        except _LOST as error:
            raise self._unreachable(error) from error

    def _once(self, method: str, target: str, body: bytes | None, headers: dict[str, str], timeout_s: float) -> Answer:
        connection = self._connection or self.endpoint.open()
        self._connection = None
        try:
            connection.sock.settimeout(timeout_s)
            sent = self.endpoint.headers() | headers
            if body is not None:
                sent["Content-Type"] = "application/json"
            connection.request(method, self.endpoint.prefix + target, body=body, headers=sent)
            answer = self._read(connection)
        except TimeoutError as error:
            connection.close()
            raise Unreachable(self.endpoint.address, f"no answer within {timeout_s:.0f} s") from error
        except BaseException as error:
            connection.close()
            if isinstance(error, http.client.HTTPException) and not isinstance(error, _LOST):
                raise NoHttp(self.endpoint.address, repr(error)) from error
            raise
        if connection.sock is not None:
            self._connection, self._used_at = connection, time.monotonic()
        return answer

    def _read(self, connection: http.client.HTTPConnection) -> Answer:
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"{self.endpoint.address} sent more than {MAX_ANSWER_BYTES} bytes in one answer")
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        return Answer(response.status, response.getheader("Content-Type", ""), body)

    def _unreachable(self, error: Exception) -> Unreachable:
        return error if isinstance(error, Unreachable) else Unreachable(self.endpoint.address, reason(error))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parts(url: str) -> tuple[bool, str, int, str]:
    """TLS or not, host, port and path prefix of `url`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL such as http://127.0.0.1:9451")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a daemon's URL has no user, password, query or fragment; give the token by itself")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/")


def reason(error: Exception) -> str:
    """Why a connection failed, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, http.client.IncompleteRead | ConnectionResetError | BrokenPipeError):
        return "the connection was closed before the answer was complete"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_TIMEOUT_S:.0f} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
