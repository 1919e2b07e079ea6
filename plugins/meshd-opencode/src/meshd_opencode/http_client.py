"""As much of an HTTP/1.1 client as OpenCode's local API needs: Basic authentication, bodies in pieces.

A connection for each request; loopback only. Every wait has a timeout.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

TIMEOUT_S = 5.0
MAX_BODY_BYTES = 16 << 20
MAX_EVENT_BYTES = 16 << 20
_HEAD_BYTES = 64 * 1024


class Address(Struct, frozen=True):
    """Where the API listens, and the credentials for it."""

    port: int
    username: str
    password: str


class ApiError(Exception):
    """The API can't be used now: not up yet, another program's, gone, or it said something unexpected."""


class Response:
    """A status and a body that is read in pieces."""

    def __init__(self, status: int, length: int | None, chunked: bool, reader: asyncio.StreamReader) -> None:
        self.status = status
        self._length = length
        self._chunked = chunked
        self._reader = reader

    async def pieces(self, timeout_s: float = TIMEOUT_S) -> AsyncIterator[bytes]:
        """The body; `timeout_s` bounds each wait. Raises ApiError if the connection breaks."""
        left = self._length
        while True:
            if self._chunked:
                line = await self._wait(self._reader.readline(), timeout_s)
                left = _chunk_size(line)
            if left == 0:
                return
            while left is None or left > 0:
                data = await self._wait(self._reader.read(65536 if left is None else min(left, 65536)), timeout_s)
                if not data:
                    if left is None:
                        return
                    raise ApiError("the connection ended in the middle of an answer")
                left = None if left is None else left - len(data)
                yield data
            if not self._chunked:
                return
            await self._wait(self._reader.readline(), timeout_s)

    async def read(self) -> bytes:
        """The whole body. Raises ApiError, also if it is larger than MAX_BODY_BYTES."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise ApiError("the answer is too large")
        return bytes(body)

    async def events(self, silence_s: float) -> AsyncIterator[bytes]:
        """The data of server-sent events; ApiError after `silence_s` without a byte."""
        buffer = b""
        async for piece in self.pieces(silence_s):
            *events, buffer = (buffer + piece).replace(b"\r\n", b"\n").split(b"\n\n")
            if len(buffer) > MAX_EVENT_BYTES:
                raise ApiError("an event is too large")
            for event in events:
                data = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
                if data:
                    yield b"\n".join(data)

    @staticmethod
    async def _wait(reading: Coroutine[Any, Any, bytes], timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return await reading
        except (OSError, ValueError) as error:  # TimeoutError is an OSError; ValueError: a line that is too long
            raise ApiError(f"the API can't be read: {type(error).__name__}") from error


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise ApiError("a malformed chunk") from error


@asynccontextmanager
async def request(address: Address, path: str, body: bytes | None = None) -> AsyncIterator[Response]:
    """`GET path`, or `POST path` with JSON. Raises ApiError if nothing answers."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", address.port, limit=_HEAD_BYTES)
    except OSError as error:
        raise ApiError(f"no connection to port {address.port}: {type(error).__name__}") from error
    try:
        writer.write(_request(address, path, body))
        yield await _head(reader)
    finally:
        writer.close()


def _request(address: Address, path: str, body: bytes | None) -> bytes:
    credentials = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
    sent = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = (
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\n"
        f"Authorization: Basic {credentials}\r\nAccept: application/json, text/event-stream\r\n{sent}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body or b"")


async def _head(reader: asyncio.StreamReader) -> Response:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers["content-length"]) if "content-length" in headers else None
    except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise ApiError(f"no answer: {type(error).__name__}") from error
    return Response(status, length, headers.get("transfer-encoding", "").lower() == "chunked", reader)


async def get_body(address: Address, path: str) -> bytes:
    """The body of `GET path`. Raises ApiError for any status but 200."""
    async with request(address, path) as response:
        if response.status != 200:
            raise ApiError(f"status {response.status}")
        return await response.read()


async def post(address: Address, path: str, body: bytes) -> bool:
    """`POST path` with JSON; False for a status that refuses it. Raises ApiError if nothing answers."""
    async with request(address, path, body) as response:
        return response.status in (200, 204)
