"""The slots that live: each in a task of its own, so that one can come and go while the others go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meshd_core.registry import Registry
from meshd_core.slots.slot import Slot


class LiveSlots:
    """Owns the slots' tasks. A slot is alive from `begin` on, and known to everyone once it is in the registry."""

    def __init__(self, registry: Registry[Slot]) -> None:
        self._registry = registry
        self._ends: dict[Slot, asyncio.Event] = {}
        self._tasks: dict[Slot, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Slots live inside; leaving lets go of all of them, and never ends an agent."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                for end in self._ends.values():
                    end.set()

    async def begin(self, slot: Slot) -> None:
        """Have `slot` live, unknown to everyone yet. From now on it is closed here."""
        begun = asyncio.Event()
        self._ends[slot] = asyncio.Event()
        self._tasks[slot] = self._group.create_task(self._live(slot, begun), name=f"slot {slot.name}")
        await begun.wait()

    async def end(self, slot: Slot) -> None:
        """Let go of `slot`, whose agent has ended or goes on without it; its journal is closed afterwards."""
        self._ends[slot].set()
        await asyncio.wait({self._tasks[slot]})

    async def remove(self, slot: Slot) -> None:
        """Take `slot` from the registry, tell its readers, let go of it."""
        if self._registry.find(slot.name) is slot:
            self._registry.remove(slot.name)
            await slot.removed()
            await self.end(slot)
        else:
            await self.gone(slot.name)  # somebody else is at it

    def remove_when_over(self, slot: Slot) -> None:
        """Remove a slot that was retired once its agent has ended, unless the configuration has it again by then."""
        self._group.create_task(self._remove_when_over(slot), name=f"remove {slot.name}")

    async def _remove_when_over(self, slot: Slot) -> None:
        over = asyncio.ensure_future(slot.over())
        end = asyncio.ensure_future(self._ends[slot].wait())
        try:
            await asyncio.wait({over, end}, return_when=asyncio.FIRST_COMPLETED)
            if over.done() and not end.done() and slot.config == "removed":
                await self.remove(slot)
        finally:
            over.cancel()
            end.cancel()

    async def gone(self, name: str) -> None:
        """Wait until no slot of this name is being let go of."""
        tasks = {task for slot, task in self._tasks.items() if slot.name == name}
        if tasks and self._registry.find(name) is None:
            await asyncio.wait(tasks)

    async def _live(self, slot: Slot, begun: asyncio.Event) -> None:
        try:
            async with slot.running():
                begun.set()
                await self._ends[slot].wait()
        finally:
            slot.close()
            del self._ends[slot], self._tasks[slot]
