"""An answer that is a stream of events whose source is not a feed of this node: framing, heartbeat's bytes, its end."""

import asyncio
from collections.abc import Callable

from meshd_core.contracts.auth import Principal
from meshd_core.http.exchange import Exchange
from meshd_core.http.sse import as_chunk, event_bytes
from meshd_core.http.stream import BYE_TIMEOUT_S, CONTENT_TYPE
from meshd_core.types import ByeEvent


class EventAnswer:
    """`allowed` judges the principal of a credential that is still good."""

    def __init__(self, exchange: Exchange, allowed: Callable[[Principal], bool]) -> None:
        self.exchange = exchange
        self._allowed = allowed
        # An HTTP/1.0 client knows no chunks: it gets the bare bytes until the connection closes.
        self._chunked: bool = exchange.scope["http_version"] != "1.0"

    @property
    def started(self) -> bool:
        return self.exchange.started

    async def start(self) -> None:
        await self.exchange.start(200, (CONTENT_TYPE,))

    async def write(self, data: bytes) -> None:
        """Raises ClientGone."""
        if self._chunked:
            await self.exchange.connection.write_chunk(as_chunk(data))
        else:
            await self.exchange.send_part(data)

    async def still_allowed(self) -> bool:
        """Whether the credential has not been revoked, expired or narrowed since the stream began."""
        if self.exchange.identify_again is None:
            return True
        principal = await self.exchange.identify_again()
        return principal is not None and self._allowed(principal)

    async def end(self, bye: str = "") -> None:
        """End the answer, with `bye` as the reason to come again, if there is one."""
        try:
            async with asyncio.timeout(BYE_TIMEOUT_S):
                if bye:
                    await self.write(event_bytes("bye", ByeEvent(bye)))
                await self.exchange.send_part(b"", more=False)
        except TimeoutError:
            self.exchange.connection.abort()
