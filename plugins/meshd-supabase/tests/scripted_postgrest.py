"""An HTTP server on loopback that answers as a test says: as hosted PostgREST, where @supabase/lite differs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

STORED = {"Content-Range": "*/*"}
"""What PostgREST says of each insert."""


@dataclass(frozen=True)
class Seen:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    rows: list[dict[str, Any]]
    request: web.Request


Answer = Callable[[Seen], Awaitable[web.StreamResponse] | web.StreamResponse]


class Scripted:
    """`answer` decides; every request that came is in `seen`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Answer = lambda seen: web.Response(status=201, headers=STORED)
        self.url = ""

    def fail(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer every request so from now on."""
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda seen: web.Response(status=status, text=text, headers=named)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        rows = json.loads(body) if body else []
        seen = Seen(request.path, dict(request.query), dict(request.headers), rows, request)
        self.seen.append(seen)
        made = self.answer(seen)
        return made if isinstance(made, web.StreamResponse) else await made


@asynccontextmanager
async def scripted_postgrest() -> AsyncIterator[Scripted]:
    script = Scripted()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", script._handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield script
    finally:
        await runner.cleanup()


async def hang(seen: Seen) -> web.StreamResponse:
    """An answer that never comes."""
    await asyncio.Event().wait()
    raise AssertionError
