"""One reader of one slot's events: a cursor that follows the journal. Source: protocol section 3, "Stream"."""

import asyncio
from collections.abc import Callable

from meshd_core.contracts.auth import Principal
from meshd_core.http.cursors import id_of, lost_before_tail
from meshd_core.http.exchange import ClientGone, Exchange
from meshd_core.http.fanout import Fanout, Hub
from meshd_core.http.service import Feed
from meshd_core.http.sse import COMMENT, Kinds, as_chunk, event_bytes
from meshd_core.types import ByeEvent, Gap

COMMENT_EVERY_S = 15.0
CHECK_EVERY_S = 4.0
"""A little less than the pulse that wakes idle readers: a revoked credential ends its streams within about 5 s."""
BYE_TIMEOUT_S = 1.5
"""How long a reader that takes nothing may hold up the end of the daemon."""
CONTENT_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")


class Start:
    """Where and what a reader reads: `snapshot` is set for one without a cursor, `gap` for one that lost something."""

    __slots__ = ("gap", "kinds", "position", "snapshot")

    def __init__(self, position: int, kinds: Kinds, *, gap: Gap | None = None, snapshot: bool = False) -> None:
        self.position = position
        self.kinds = kinds
        self.gap = gap
        self.snapshot = snapshot


class Reader:
    """Sends events until the client goes, its credential ends, the daemon drains, or the task is cancelled.

    `allowed` judges the principal of a credential that is still good.
    """

    def __init__(
        self, exchange: Exchange, feed: Feed, start: Start, hub: Hub, allowed: Callable[[Principal], bool]
    ) -> None:
        self._exchange = exchange
        self._allowed = allowed
        self._connection = exchange.connection
        self._feed = feed
        self._hub = hub
        self._position = start.position
        self._kinds = start.kinds
        self._start = start
        self._last_n: int | None = None
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._checked_at = self._loop.time()
        # An HTTP/1.0 client knows no chunks: it gets the bare bytes until the connection closes.
        self._chunked: bool = exchange.scope["http_version"] != "1.0"

    async def run(self) -> None:
        """Send the whole answer. Raises ClientGone."""
        await self._exchange.start(200, (CONTENT_TYPE,))
        with self._hub.join(self._feed) as fanout:
            await self._open()
            while not (self._hub.closing or self._feed.closing.is_set()):
                if self._loop.time() - self._checked_at >= CHECK_EVERY_S and not await self._still_allowed():
                    # No `bye`: that says "come again". Who does is told 401.
                    await self._exchange.send_part(b"", more=False)
                    return
                if self._feed.tail > self._position:
                    await self._fell_behind()
                elif not await self._send_next(fanout):
                    await self._wait(fanout)
                if self._connection.gone:
                    raise ClientGone
            await self._bye()

    async def _still_allowed(self) -> bool:
        """Whether the credential has not been revoked, expired or narrowed since the stream began."""
        self._checked_at = self._loop.time()
        if self._exchange.identify_again is None:
            return True
        principal = await self._exchange.identify_again()
        return principal is not None and self._allowed(principal)

    async def _open(self) -> None:
        first = b""
        if self._start.snapshot and (self._kinds is None or "state" in self._kinds):
            first += event_bytes("state", self._feed.snapshot())
        if self._start.gap is not None:
            first += event_bytes("gap", self._start.gap, id_of(self._feed, self._position))
        # A comment makes the client see at once that it is connected, even if nothing happens for long.
        await self._write(first or COMMENT)

    async def _fell_behind(self) -> None:
        gap = lost_before_tail(self._feed, self._position, self._last_n)
        self._position = self._feed.tail
        await self._write(event_bytes("gap", gap, id_of(self._feed, self._position)))

    async def _send_next(self, fanout: Fanout) -> bool:
        """Send the next block; False if what follows is to be waited for."""
        if self._feed.head <= self._position:
            return False
        block, more = fanout.block(self._position, self._kinds)
        if block.end <= self._position:
            return False
        # The position moves first: a block is sent whole or the connection is lost, and then nobody asks again.
        self._position = block.end
        if block.last_n is not None:
            self._last_n = block.last_n
        if block.data:
            self._sent_at = self._loop.time()
            if self._chunked:
                await self._connection.write_chunk(block.chunk)
            else:
                await self._exchange.send_part(block.data)
        if more:
            await asyncio.sleep(0)  # catching up on megabytes must not hold up everyone else
        return more

    async def _wait(self, fanout: Fanout) -> None:
        waiter = fanout.waiter()
        self._connection.on_lost = lambda: None if waiter.done() else waiter.set_result(None)
        try:
            await waiter
        finally:
            self._connection.on_lost = None
            fanout.forget(waiter)
        if self._loop.time() - self._sent_at >= COMMENT_EVERY_S and self._feed.head <= self._position:
            await self._write(COMMENT)

    async def _bye(self) -> None:
        try:
            async with asyncio.timeout(BYE_TIMEOUT_S):
                await self._write(event_bytes("bye", ByeEvent(self._feed.bye_reason or "draining")))
                await self._exchange.send_part(b"", more=False)
        except TimeoutError:
            self._connection.abort()

    async def _write(self, data: bytes) -> None:
        self._sent_at = self._loop.time()
        if self._chunked:
            await self._connection.write_chunk(as_chunk(data))
        else:
            await self._exchange.send_part(data)
