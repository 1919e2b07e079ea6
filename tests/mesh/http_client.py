"""Asking a served node from a test that lives in its loop."""

import asyncio
import json
import socket
from typing import Any

from tests.http.conftest import Answer, Running


async def ask(running: Running, *args: Any, **more: Any) -> Answer:
    """`Running.ask` in a thread, so that the server can answer."""
    return await asyncio.to_thread(running.ask, *args, **more)


class Stream:
    """An event stream, read event by event."""

    def __init__(
        self, running: Running, path: str, headers: dict[str, str] | None = None, token: str | None = None
    ) -> None:
        self._sock: socket.socket = running.connect()
        given = {"Host": "localhost", "Authorization": f"Bearer {token or running.admin}", **(headers or {})}
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in given.items())
        self._sock.sendall(f"{head}\r\n".encode())
        self.seen = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    async def until(self, text: bytes) -> bytes:
        """Everything up to where `text` comes, at most 10 s; the rest is kept for the next call."""
        return await asyncio.to_thread(self._until, text)

    def _until(self, text: bytes) -> bytes:
        while text not in self.seen:
            data = self._sock.recv(65536)
            assert data, self.seen
            self.seen += data
        end = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found

    async def event(self, name: str) -> dict[str, Any]:
        """The data of the next event of this name."""
        await self.until(f"event: {name}\ndata: ".encode())
        found: dict[str, Any] = json.loads(await self.until(b"\n\n"))
        return found
