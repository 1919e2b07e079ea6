"""Whether a slot takes a prompt: while its agent runs, or is being started, and while the slot is configured."""

import asyncio

from meshd_core.errors import SlotNotRunning, SlotRemoved
from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.lifecycle import Lifecycle
from meshd_core.slots.plan import LivingPlan
from meshd_core.types import InjectRequest, Receipt


class Intake:
    """Of one slot. What was accepted before is known in any case."""

    def __init__(self, slot: str, plan: LivingPlan, life: Lifecycle, queue: InjectQueue) -> None:
        self._slot, self._plan, self._life, self._queue = slot, plan, life, queue

    async def inject(self, request: InjectRequest, principal: str, key: str | None, receipt: str | None) -> Receipt:
        """Queue a prompt and wait for its `until`. Raises SlotRemoved, SlotNotRunning and what `InjectQueue.accept`
        raises.
        """
        if self._plan.retired and self._queue.known(request, principal, key) is None:
            raise SlotRemoved(self._slot)
        if self._plan.retired or self._life.child is None or self._life.status not in ("running", "starting"):
            entry = self._queue.known(request, principal, key)
            if entry is None:
                raise SlotNotRunning(
                    f"slot {self._slot} is {self._life.status}", hint=f"'meshd start {self._slot}' starts its agent"
                )
        else:
            entry = self._queue.accept(request, principal, key, receipt)
            await asyncio.sleep(0)  # the queue's turn first: a prompt that can be typed now is, before the answer
        return await self._queue.wait(entry, request.until, request.timeout_s)
