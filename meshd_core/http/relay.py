"""A stream of another node, passed on as it comes.

When the other node goes away, the stream ends, and whoever comes again with `Last-Event-ID` is sent on as soon as that
node is back: it is that node's journal that knows what was told, so nothing is kept here that could be lost or told
twice. An event that was cut off in its midst is none, by the rules of event streams.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from meshd_core.client.answers import BadAnswer, error_from
from meshd_core.contracts.auth import Principal
from meshd_core.errors import PeerError, PeerTimeout
from meshd_core.http.event_answer import EventAnswer
from meshd_core.http.exchange import ClientGone, Exchange
from meshd_core.http.stream import CHECK_EVERY_S
from meshd_core.mesh.peer import Peer

if TYPE_CHECKING:
    from meshd_core.client.aio_connection import ByteStream


class Relay:
    """Passes on one stream until either end goes, the credential ends, or the daemon drains.

    `allowed` judges the principal of a credential that is still good.
    """

    def __init__(self, exchange: Exchange, closing: asyncio.Event, allowed: Callable[[Principal], bool]) -> None:
        self._answer = EventAnswer(exchange, allowed)
        self._connection = exchange.connection
        self._closing = closing
        self._between_events = True

    async def run(self, peer: Peer, target: str, headers: Mapping[str, str]) -> None:
        """Send the whole answer. Raises PeerError, PeerTimeout or the node's own error before it begins; ClientGone."""
        try:
            async with peer.stream(target, headers) as far:
                if far.status >= 400:
                    raise error_from(far.status, (await far.answer()).body, peer.url)
                if not far.content_type.startswith("text/event-stream"):
                    raise BadAnswer(f"{peer.url} did not answer with a stream")
                await self._answer.start()
                reason = await self._pass_on(far)
        except (PeerError, PeerTimeout) as error:
            if not self._answer.started:
                raise
            reason = error.message
        await self._answer.end(reason if self._between_events else "")

    async def _pass_on(self, far: "ByteStream") -> str:
        """Why the client should come again; empty if the other node has said so itself, or if it should not."""
        lost = asyncio.Event()
        self._connection.on_lost = lost.set
        pump = asyncio.ensure_future(self._pump(far))
        ends = [asyncio.ensure_future(event.wait()) for event in (self._closing, lost)]
        try:
            while True:
                await asyncio.wait({pump, *ends}, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if lost.is_set():
                    raise ClientGone
                if pump.done():
                    await pump
                    return ""
                if self._closing.is_set():
                    return "draining"
                if not await self._answer.still_allowed():
                    return ""
        finally:
            self._connection.on_lost = None
            for task in (pump, *ends):
                task.cancel()
            await asyncio.gather(pump, *ends, return_exceptions=True)

    async def _pump(self, far: "ByteStream") -> None:
        async for data in far.chunks():
            self._between_events = data.endswith(b"\n\n")
            await self._answer.write(data)
