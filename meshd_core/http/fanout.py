"""Many readers of one slot: blocks are encoded once, and an event wakes all who wait for it directly."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from meshd_core.http.service import Feed
from meshd_core.http.sse import BLOCK_BYTES, Block, Kinds, TimeText, encode

KEPT_BLOCKS = 16
"""Blocks kept for readers at about the same place: at most 16 x 64 KiB a slot that is being read."""
AT_ONCE = 64
"""Readers woken in one turn of the loop: a thousand at once would hold up everyone else for 60 ms and more."""
PULSE_S = 5.0
"""Readers wake at least this often, to see whether a comment is due."""


class Fanout:
    """The readers of one feed; lives while there are any."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.readers = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._wakes = 0
        self._blocks: OrderedDict[tuple[int, Kinds], tuple[Block, bool, int]] = OrderedDict()
        """Each with whether more was there when it was made, and after which wake that was."""
        self._times = TimeText()
        self._pulse: asyncio.TimerHandle | None = None
        self._unwatch = feed.watch(self.wake)
        self.pulse()

    def block(self, start: int, kinds: Kinds) -> tuple[Block, bool]:
        """The events after `start`, encoded (`end == start` if there are none), and whether more are to be asked for.

        What came since the last wake is not: the next wake tells of it, to all readers at once.
        """
        key = (start, kinds)
        made = self._blocks.get(key)
        if made is None:
            events = self.feed.read(start, BLOCK_BYTES)
            block = encode(self.feed.epoch, start, events, kinds, self._times)
            made = block, block.end < self.feed.head, self._wakes
            if block.end > start:
                self._blocks[key] = made
                if len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
        block, more, wakes = made
        return block, more or wakes != self._wakes

    def waiter(self) -> asyncio.Future[None]:
        """Done at the next event, pulse or closing. Take it right after having seen `feed.head`, no wait between."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        return future

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """The reader of `waiter` waits no longer."""
        self._waiting.discard(waiter)

    def wake(self) -> None:
        """Let every waiting reader look again."""
        self._wakes += 1
        waiting, self._waiting = self._waiting, set()
        if waiting:
            self._wake_some(list(waiting))

    def _wake_some(self, waiting: list[asyncio.Future[None]]) -> None:
        """Wake a share of `waiting` in this turn of the loop, the rest in the next ones: others get their turns."""
        for future in waiting[:AT_ONCE]:
            if not future.done():
                future.set_result(None)
        if rest := waiting[AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._wake_some, rest)

    def pulse(self) -> None:
        """Wake the readers now and then, though nothing happened: comments are due, credentials to be checked again."""
        self.wake()
        self._pulse = asyncio.get_running_loop().call_later(PULSE_S, self.pulse)

    def close(self) -> None:
        """The last reader left."""
        self._unwatch()
        if self._pulse is not None:
            self._pulse.cancel()


class Hub:
    """All fanouts of the server. Closed once, at the end."""

    def __init__(self) -> None:
        self._fanouts: dict[int, Fanout] = {}
        self._others = 0
        self.closing = False

    @contextmanager
    def join(self, feed: Feed) -> Iterator[Fanout]:
        """Be a reader of `feed` while open."""
        fanout = self._fanouts.get(id(feed))
        if fanout is None:
            fanout = self._fanouts[id(feed)] = Fanout(feed)
        fanout.readers += 1
        try:
            with feed.readers():
                yield fanout
        finally:
            fanout.readers -= 1
            if fanout.readers == 0:
                del self._fanouts[id(feed)]
                fanout.close()

    def readers(self) -> int:
        """How many streams are open."""
        return sum(fanout.readers for fanout in self._fanouts.values()) + self._others

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a stream that is not read from a feed of this node."""
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1

    def close(self) -> None:
        """Tell every reader that the server ends: it says `bye`."""
        self.closing = True
        for fanout in self._fanouts.values():
            fanout.wake()
