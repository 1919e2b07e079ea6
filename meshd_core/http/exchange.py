"""One request and its answer: headers read once, the body within limits, the request id in every answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Receive, Scope, Send

from meshd_core.contracts.auth import Principal
from meshd_core.errors import InvalidRequest, JsonRequired, MeshdError, TooLarge
from meshd_core.types import ErrorAnswer, ErrorBody

if TYPE_CHECKING:
    from meshd_core.http.protocol import Connection

BODY_DEADLINE_S = 30.0
DISCARD_BYTES = 8 * 1024 * 1024
DISCARD_S = 2.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024

_SINGLE = frozenset(
    {
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"idempotency-key",
        b"last-event-id",
        b"meshd-via",
        b"meshd-subject",
    }
)
_JSON = (b"content-type", b"application/json")
_FIXED = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

log = logging.getLogger(__name__)


class ClientGone(Exception):
    """The other end closed the connection: nobody is left to answer."""


class Exchange:
    """Made for each request by the app. `principal` is set by the gate; None only on routes without a scope."""

    __slots__ = (
        "_body_left", "_receive", "_send", "connection", "duplicate_authorization", "extra", "headers",
        "identify_again", "method", "principal", "request_id", "scope", "started",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.request_id = request_id
        self.method: str = scope["method"]
        self.connection: Connection = scope["state"]["connection"]
        self.principal: Principal | None = None
        self.identify_again: Callable[[], Awaitable[Principal | None]] | None = None
        """Who calls by now, for answers that take long; None where nothing can be revoked (the Unix socket)."""
        self.headers: dict[str, str] = {}
        self.duplicate_authorization = False
        self.extra: list[tuple[bytes, bytes]] = []
        """Headers for whatever the answer will be (cross-origin permission)."""
        self.started = False
        self._body_left = False

    def read_headers(self) -> None:
        """Fill `headers` (names lower-cased, values as Latin-1). Raises InvalidRequest.

        h11 accepts Content-Length together with Transfer-Encoding, the classic of request smuggling: refused here.
        """
        found: dict[str, str] = {}
        size = 0
        raw = self.scope["headers"]
        for name, value in raw:
            key = name.decode("latin-1")
            size += len(name) + len(value)
            if key in found:
                if name in _SINGLE:
                    raise InvalidRequest(f"the header {key!r} was sent twice")
                if name == b"authorization":
                    self.duplicate_authorization = True
            found[key] = value.decode("latin-1")
        self.headers = found
        self._body_left = "transfer-encoding" in found or found.get("content-length", "0").strip("0") != ""
        if self.scope["http_version"] not in ("1.1", "1.0"):  # h11 lets any digits through
            raise InvalidRequest("the protocol version must be HTTP/1.1")
        if len(raw) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise InvalidRequest("the headers are too many or too large")
        if "transfer-encoding" in found and "content-length" in found:
            self._body_left = True
            raise InvalidRequest("Content-Length and Transfer-Encoding exclude each other")

    async def read_json_body(self, limit: int) -> bytes:
        """The whole body, empty if there is none. Raises JsonRequired, TooLarge, InvalidRequest, ClientGone."""
        if not self._body_left:
            return b""
        chunked = "transfer-encoding" in self.headers
        if not chunked:
            self._require_json()
            if int(self.headers["content-length"]) > limit:
                raise TooLarge(f"the body is larger than {limit} bytes", limit_bytes=limit)
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await self._receive_body(limit)
        except TimeoutError:
            raise InvalidRequest(f"the body did not arrive within {BODY_DEADLINE_S:.0f} s") from None
        if chunked and body:
            self._require_json()
        return body

    async def _receive_body(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message["body"])
            size += len(message["body"])
            self._body_left = message["more_body"]
            if size > limit:
                raise TooLarge(f"the body is larger than {limit} bytes", limit_bytes=limit)
            if not self._body_left:
                return b"".join(parts) if len(parts) > 1 else parts[0]

    def _require_json(self) -> None:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or self.headers.get("content-encoding", "identity").lower() != "identity":
            raise JsonRequired("the body must be JSON, neither a form nor compressed")

    async def answer(
        self, status: int, body: bytes, content_type: bytes | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send the one answer; `content_type` None means JSON."""
        close = self._body_left and not await self._discard()
        kind = _JSON if content_type is None else (b"content-type", content_type)
        all_headers = [kind, (b"content-length", b"%d" % len(body)), *headers]
        if close:
            all_headers.append((b"connection", b"close"))
        with self.connection.cork():
            await self.start(status, all_headers)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send status and headers, with those that every answer has."""
        self.started = True
        every = [*headers, (b"meshd-request-id", self.request_id), *_FIXED, *self.extra]
        await self._send({"type": "http.response.start", "status": status, "headers": every})

    async def send_part(self, data: bytes, more: bool = True) -> None:
        """One more piece of an answer that was begun with `start`."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def fail(self, error: MeshdError, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Answer with `error`; after the answer began, all that's left is to close the connection."""
        if self.started:
            self.connection.abort()
            return
        found = ErrorBody(error.code, error.message, error.hint, dict(error.details))
        await self.answer(error.status, msgspec.json.encode(ErrorAnswer(found), enc_hook=str), headers=headers)

    async def _discard(self) -> bool:
        """Read a body that nobody wants, so that its sender sees the answer. False: give up, close the connection."""
        if "expect" in self.headers or int(self.headers.get("content-length", "0")) > DISCARD_BYTES:
            return False
        if "transfer-encoding" in self.headers and "content-length" in self.headers:
            return False
        left = DISCARD_BYTES
        try:
            async with asyncio.timeout(DISCARD_S):
                while self._body_left and left > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        return False
                    left -= len(message["body"])
                    self._body_left = message["more_body"]
        except TimeoutError:
            return False
        return not self._body_left
