"""Prompts for whichever slot fits: one idle slot that matches, or all that match."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec.structs import replace

from meshd_core.clock import monotonic, ulid
from meshd_core.errors import InvalidField, MeshdError, NoIdleSlot, TooLarge
from meshd_core.mesh.dispatch import Dispatcher, NotTaken, Sender
from meshd_core.mesh.dispatch_store import Dispatch
from meshd_core.slots.receipts import fingerprint
from meshd_core.types import (
    BroadcastFailure,
    BroadcastRequest,
    InjectRequest,
    MeshInjectRequest,
    Receipt,
    Select,
    Slot,
    When,
)

AT_A_TIME = 64
"""Prompts of one broadcast that are on their way at once."""

InjectHere = Callable[[str, InjectRequest, str | None, str], Awaitable[Receipt]]
"""Types into a slot of this node for the sender: the slot's name, request, key, and the ULID for the receipt."""


def matching(slots: Sequence[Slot], select: Select) -> list[Slot]:
    """The slots that meet every condition of `select`, whatever they are doing."""
    return [
        slot
        for slot in slots
        if (select.kind is None or slot.kind == select.kind)
        and (select.node is None or slot.node == select.node)
        and all(slot.labels.get(key) == value for key, value in select.labels.items())
        and slot.config != "removed"
    ]


class Selector:
    """Dispatches to selections of slots, those of this node (`own`) included. Remembers which slots it used when."""

    def __init__(self, own: str, dispatcher: Dispatcher) -> None:
        self._own, self._dispatcher = own, dispatcher
        self._used: dict[str, float] = {}

    async def one(self, slots: Sequence[Slot], request: MeshInjectRequest, sender: Sender, here: InjectHere) -> Receipt:
        """Give the prompt to an idle slot of `slots` that matches, the least recently used first; with `when: "idle"`
        and none idle, queue it where the queue is shortest. Raises NoIdleSlot, and what is wrong with the request.
        """
        if request.when == "steer":
            raise InvalidField("'steer' needs a slot by name", field="when")
        place = f"select {msgspec.json.encode(request.select, order='sorted').decode()}"
        async with self._dispatcher.turn(place, sender, request.timeout_s) as mine:
            dispatch = self._dispatcher.begin(place, fingerprint(request), sender)
            if not mine:
                return self._dispatcher.unsettled(dispatch)
            if dispatch.sent_ms:  # the sender's key was used before: wherever it went is asked again
                return await self._again(dispatch, request, sender, here)
            return await self._place(dispatch, slots, request, sender, here)

    async def _place(
        self, dispatch: Dispatch, slots: Sequence[Slot], request: MeshInjectRequest, sender: Sender, here: InjectHere
    ) -> Receipt:
        found = [slot for slot in matching(slots, request.select) if slot.status == "running"]
        idle = [slot for slot in found if slot.activity.state == "idle" and not slot.queue]
        for slot in self._least_recently_used(idle):
            if (receipt := await self._try(dispatch, slot, request, "now", sender, here)) is not None:
                return receipt
        if request.when == "idle":
            for slot in sorted(self._least_recently_used(found), key=lambda slot: slot.queue):
                if (receipt := await self._try(dispatch, slot, request, "idle", sender, here)) is not None:
                    return receipt
        what = "is idle" if request.when == "now" else "took the prompt"
        hint = (
            '"when": "idle" (--queue) queues it'
            if request.when == "now" and found
            else "'meshd ls --mesh' lists the slots"
        )
        raise NoIdleSlot(f"of {len(found)} running slots that match, none {what}", hint=hint, matching=len(found))

    async def all(
        self, slots: Sequence[Slot], request: BroadcastRequest, sender: Sender, here: InjectHere
    ) -> tuple[list[Receipt], list[BroadcastFailure]]:
        """Give the prompt to every slot of `slots` that matches; a receipt or a failure each, in their order. The wait
        is one for all.
        """
        limit = asyncio.Semaphore(AT_A_TIME)
        deadline = monotonic() + request.timeout_s

        async def give(slot: Slot) -> Receipt | BroadcastFailure:
            async with limit:
                try:
                    left_s = max(0.0, deadline - monotonic())
                    return await self._give(slot, replace(request, timeout_s=left_s), sender, here)
                except MeshdError as error:
                    return BroadcastFailure(slot.address, error.code, error.message)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(give(slot)) for slot in matching(slots, request.select)]
        outcomes = [task.result() for task in tasks]
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        return receipts, [outcome for outcome in outcomes if isinstance(outcome, BroadcastFailure)]

    async def _give(self, slot: Slot, request: BroadcastRequest, sender: Sender, here: InjectHere) -> Receipt:
        plain = _plain(request, request.when)
        if slot.node != self._own:
            return await self._dispatcher.inject(slot.name, slot.node, plain, sender)
        return await here(slot.name, plain, sender.key, ulid())

    async def _again(self, dispatch: Dispatch, request: MeshInjectRequest, sender: Sender, here: InjectHere) -> Receipt:
        plain = _plain(request, dispatch.when)
        try:
            return await self._send(dispatch, dispatch.slot, dispatch.node, plain, sender, here)
        except NotTaken as refused:
            raise refused.error from refused

    async def _try(
        self, dispatch: Dispatch, slot: Slot, request: MeshInjectRequest, when: When, sender: Sender, here: InjectHere
    ) -> Receipt | None:
        """The receipt, or None if the slot did not take it. Raises what no other slot would take either."""
        self._used[slot.address] = monotonic()  # before the wait: the next selection must not choose it, too
        try:
            return await self._send(dispatch, slot.name, slot.node, _plain(request, when), sender, here)
        except NotTaken as refused:
            if isinstance(refused.error, InvalidField | TooLarge):
                raise refused.error from refused
            return None

    async def _send(
        self, dispatch: Dispatch, name: str, node: str, request: InjectRequest, sender: Sender, here: InjectHere
    ) -> Receipt:
        if node != self._own:
            return await self._dispatcher.send(dispatch, name, node, request, sender)
        self._dispatcher.stays_here(dispatch, name, node, request.when)
        try:
            return await here(name, request, dispatch.far_key, dispatch.id)
        except MeshdError as error:
            self._dispatcher.reached_nobody(dispatch)
            raise NotTaken(error) from error

    def _least_recently_used(self, slots: Sequence[Slot]) -> list[Slot]:
        return sorted(slots, key=lambda slot: (self._used.get(slot.address, 0.0), slot.activity.since, slot.address))


def _plain(request: InjectRequest, when: When) -> InjectRequest:
    """The request without its selection, as a slot takes it."""
    return InjectRequest(
        text=request.text, submit=request.submit, when=when, until=request.until, timeout_s=request.timeout_s,
        expires_s=request.expires_s,
    )  # fmt: skip
