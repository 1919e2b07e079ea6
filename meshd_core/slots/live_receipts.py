"""The receipts of one slot's prompts that have not come to their end: recorded, told, and waited for."""

import asyncio
import logging
from collections.abc import Callable

from meshd_core.errors import Overloaded
from meshd_core.slots.receipts import Entry, ReceiptStore, reached
from meshd_core.types import Receipt, Stage, Until

log = logging.getLogger(__name__)


class LiveReceipts:
    """Of one slot. `position(entry)` is the entry's place in the queue, None if it isn't there any more."""

    def __init__(
        self, slot: str, store: ReceiptStore, publish: Callable[[Receipt], None],
        position: Callable[[Entry], int | None],
    ) -> None:  # fmt: skip
        self._slot, self._store, self._publish, self._position = slot, store, publish, position
        self._live: dict[str, Entry] = {}
        self._moved: dict[str, asyncio.Event] = {}
        self._closed = False

    def add(self, entry: Entry) -> None:
        """`entry` is on disk, and goes on from now."""
        self._live[entry.id] = entry

    def drop(self, entry: Entry) -> None:
        """Nothing more will come of `entry`."""
        self._live.pop(entry.id, None)

    def get(self, receipt_id: str) -> Entry | None:
        """The entry, if it has not come to its end yet."""
        return self._live.get(receipt_id)

    def view(self, entry: Entry) -> Receipt:
        """The receipt as it is now."""
        return entry.view(self._position(entry))

    def save(self, entry: Entry, *stages: Stage) -> None:
        """Move `entry` to `stages` on disk; `tell` comes next. Raises Overloaded: the disk is full."""
        for stage in stages:
            entry.move(stage)
        self._store.save(entry)

    def tell(self, entry: Entry) -> None:
        """What `entry` is now, for everyone to see."""
        self._publish(self.view(entry))
        if (moved := self._moved.pop(entry.id, None)) is not None:
            moved.set()

    def end(self, entry: Entry, stage: Stage) -> None:
        """Move `entry` to `stage`, its last: that is told even if the disk can't take it.

        After a crash it would be in doubt then, never typed again.
        """
        try:
            self.save(entry, stage)
        except Overloaded as full:
            log.warning("receipt not recorded", extra={"slot": self._slot, "reason": str(full)})
        self.tell(entry)
        self.drop(entry)

    async def wait(self, entry: Entry, until: Until, timeout_s: float) -> Receipt:
        """The receipt once `until` is reached or it ended, else as it stands after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached(receipt := self.view(entry), until) and not self._closed:
                    await self._moved.setdefault(entry.id, asyncio.Event()).wait()
        except TimeoutError:
            pass
        return receipt if reached(receipt, until) else self.view(entry)

    def close(self) -> None:
        """Whoever waits gets the receipt as it stands."""
        self._closed = True
        for moved in self._moved.values():
            moved.set()
