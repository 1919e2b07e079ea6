"""The asynchronous way to one daemon, on aiohttp: for the async client and for a node that asks its peers.

Nothing is followed (a redirect is an answer like any other), nothing is unbounded: connecting, waiting, and the size of
an answer each have a limit. Environment variables for proxies are not read.
"""

import errno
import ipaddress
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from meshd_core.client.answers import BadAnswer, NoHttp, Unreachable
from meshd_core.client.connection import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    GIVEN_UP_S,
    MAX_ANSWER_BYTES,
    Answer,
    Endpoint,
    reason,
)
from meshd_core.unix_socket import socket_address

SOCKET_URL = "http://localhost"
_KEPT_ALIVE_S = 10.0  # below the server's keep-alive time, so that a request seldom meets a closed connection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AsyncRequester:
    """Requests to one daemon, many at a time, over kept connections. Use it inside one event loop; `close` it.

    `may_connect` judges every address before a connection to it is opened, also those that a host name stands for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        headers: Mapping[str, str] | None = None,
        may_connect: Callable[[Address], bool] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._may_connect = may_connect
        self._connect_timeout_s, self._max_answer_bytes = connect_timeout_s, max_answer_bytes
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._read: set[aiohttp.ClientResponse] = set()
        """Answers that are being read."""
        self._address = ExitStack()
        """What makes a Unix socket's long path reachable; open as long as the session is."""

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        max_bytes: int | None = None,
    ) -> Answer:
        """The answer, whatever its status. Raises `Unreachable` (also after `timeout_s`), `BadAnswer` (larger than
        `max_bytes`, not HTTP).
        """
        most = self._max_answer_bytes if max_bytes is None else max_bytes
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, connect=self._connect_timeout_s, sock_connect=self._connect_timeout_s
        )
        with self._failures():
            async with self._open().request(
                method, self._url(target), data=body, headers=self._sent(headers, body), timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                data = bytearray()
                with self._reading(response):
                    async for chunk in _body(response):
                        data += chunk
                        if len(data) > most:
                            raise BadAnswer(f"{self.endpoint.address} sent more than {most} bytes")
                return Answer(response.status, response.headers.get("Content-Type", ""), bytes(data), response.headers)

    @asynccontextmanager
    async def stream(
        self, target: str, *, headers: Mapping[str, str] | None = None, silence_s: float | None = 45.0
    ) -> AsyncIterator["ByteStream"]:
        """A GET whose answer has no end: read it with `ByteStream.chunks`. Raises as `request`; `silence_s` without a
        byte count as lost (None: the caller sees to that).
        """
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._connect_timeout_s, sock_connect=self._connect_timeout_s, sock_read=silence_s
        )
        with self._failures():
            async with self._open().get(
                self._url(target), headers=self._sent(headers, None), timeout=timeout, allow_redirects=False
            ) as response:
                with self._reading(response):
                    yield ByteStream(response, self._max_answer_bytes)

    @contextmanager
    def _reading(self, response: aiohttp.ClientResponse) -> Iterator[None]:
        self._read.add(response)
        try:
            yield
        finally:
            self._read.discard(response)

    async def close(self) -> None:
        """Nothing is asked any more: requests raise `Unreachable`."""
        self._closed = True
        for response in self._read:
            response.close()  # tells its reader, as the session's close does not: it would wait for ever
        if self._session is not None:
            await self._session.close()
            self._session = None
            self._address.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unreachable(self.endpoint.address, "the client was closed", sent=False)
        if self._session is None:
            path = self.endpoint.socket_path
            connector: aiohttp.BaseConnector = (
                aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE_S, socket_factory=self._socket)
                if path is None
                else self._unix_connector(path)
            )
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._session

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The socket for one address; refused here, a host name can't lead elsewhere than was judged."""
        family, kind, protocol, _, address = info
        if self._may_connect is not None:
            found = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if not self._may_connect(found):
                raise OSError(errno.EACCES, f"plain http to {found} is not allowed")
        sock = socket.socket(family, kind, protocol)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVEN_UP_S * 1000)
        # A machine that vanished is noticed within a minute, also by a request that waits for an hour.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return sock

    def _unix_connector(self, path: Path) -> aiohttp.UnixConnector:
        try:
            address = self._address.enter_context(socket_address(path))
        except OSError as error:
            raise Unreachable(self.endpoint.address, reason(error)) from error
        return aiohttp.UnixConnector(path=address, limit=0)

    def _url(self, target: str) -> URL:
        base = SOCKET_URL if self.endpoint.socket_path is not None else self.endpoint.address.rstrip("/")
        return URL(base + target, encoded=True)

    def _sent(self, headers: Mapping[str, str] | None, body: bytes | None) -> dict[str, str]:
        sent = {"Accept-Encoding": "identity", **self._headers, **self.endpoint.headers(), **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        return sent

    def _failures(self) -> "_Failures":
        return _Failures(self.endpoint.address)


class ByteStream:
    """An answer as it comes. `answer()` reads it whole instead, as an error's body wants."""

    def __init__(self, response: aiohttp.ClientResponse, max_bytes: int) -> None:
        self._response, self._max_bytes = response, max_bytes
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_type = response.headers.get("Content-Type", "")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Bytes as they arrive, until the other end closes."""
        async for chunk in _body(self._response):
            yield chunk

    async def answer(self) -> Answer:
        """The whole, cut off at the size limit."""
        data = bytearray()
        async for chunk in _body(self._response):
            data += chunk
            if len(data) >= self._max_bytes:
                break
        return Answer(self.status, self.content_type, bytes(data[: self._max_bytes]), self.headers)


class _Failures:
    """Turns the library's exceptions into ours; a context manager."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case aiohttp.ConnectionTimeoutError():
                raise Unreachable(self._address, "no connection in time", sent=False, timed_out=True) from error
            case TimeoutError():
                raise Unreachable(self._address, "no answer in time", timed_out=True) from error
            case aiohttp.ClientConnectorError():
                raise Unreachable(self._address, _why(error), sent=False) from error
            case aiohttp.ClientConnectionError():
                raise Unreachable(self._address, _why(error)) from error
            case aiohttp.ClientPayloadError():
                raise Unreachable(self._address, "the connection was closed before the answer was complete") from error
            case ValueError() if not isinstance(error, aiohttp.ClientError):  # as the library spells a host's name
                raise Unreachable(self._address, "that can't be the name of a host", sent=False) from error
            case aiohttp.ClientError():
                raise NoHttp(self._address, type(error).__name__) from error  # its words may hold a token


async def _body(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises aiohttp's errors alone."""
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except RuntimeError as error:  # so says the library where nobody was reading when the connection went away
        raise aiohttp.ClientPayloadError("the connection is gone") from error


def was_closed(error: Unreachable) -> bool:
    """Whether a connection was closed before an answer came, as a kept one is that the daemon gave up meanwhile."""
    cause = error.__cause__
    lost = isinstance(cause, aiohttp.ClientConnectionError)
    return lost and not isinstance(cause, aiohttp.ClientConnectorError | TimeoutError)


def _why(error: aiohttp.ClientError) -> str:
    """Why there is no connection, without the library's repetition of the address."""
    cause: BaseException = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ExceptionGroup):  # several addresses, each refused
        cause = cause.exceptions[0]
    return reason(cause) if isinstance(cause, OSError) else "the connection was closed before the answer was complete"
