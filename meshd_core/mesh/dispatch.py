"""Prompts for slots of other nodes: sent at most to one slot, and never told wrong.

The other node types a prompt once however often it is asked with the same key, so asking it again is always safe.
Another node may be asked only if the first provably did not take the prompt; until that is known, and while the node
is away, the receipt says `in_doubt`. Its id is the one that the other node gives it: any node can be asked for it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from meshd_core.client.answers import BadAnswer, error_from
from meshd_core.client.connection import GIVEN_UP_S, Answer
from meshd_core.clock import monotonic, now_ms, rfc3339, ulid
from meshd_core.errors import (
    Draining,
    IdempotencyMismatch,
    Internal,
    MeshdError,
    NodeNotFound,
    Overloaded,
    PeerError,
    PeerTimeout,
)
from meshd_core.mesh.dispatch_store import Dispatch, DispatchStore
from meshd_core.mesh.peer import Peer
from meshd_core.slots.receipts import fingerprint
from meshd_core.types import InjectRequest, Receipt, ReceiptError, When

RECEIPT_HEADER = "Meshd-Receipt"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
LURKS_S = GIVEN_UP_S + 10.0 if sys.platform == "linux" else 180.0
"""How long after an attempt that got no answer a prompt may still arrive: the kernel goes on sending what a closed
connection left. Until then "it is not there" says nothing."""

_T = TypeVar("_T")


def _as_it_came(node: str, error: MeshdError) -> MeshdError:
    return error


class Sender(Struct, frozen=True):
    """Who has a prompt sent. `headers` tell the other node for whom."""

    id: str
    headers: Mapping[str, str]
    key: str | None
    shown: Callable[[str, MeshdError], MeshdError] = _as_it_came
    """A refusal of the node that is named, as this sender may see it."""


class NotTaken(Exception):
    """The other node provably did not take the prompt; `error` is why."""

    def __init__(self, error: MeshdError) -> None:
        super().__init__(error.message)
        self.error = error


class _ConnectionLost(Exception):
    """The other end closed the connection: what it had not read by then is gone."""


class Dispatcher:
    """Sends prompts to peers and knows where each went. `peer(name)` raises NodeNotFound."""

    def __init__(self, store: DispatchStore, peer: Callable[[str], Peer]) -> None:
        self._store, self._peer = store, peer
        self._closing = asyncio.Event()
        self._turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    def close(self) -> None:
        """This daemon ends: who waits is told how it stands, and nothing more is sent."""
        self._closing.set()

    async def inject(self, slot: str, node: str, request: InjectRequest, sender: Sender) -> Receipt:
        """Have `request` typed into `slot@node`. Raises what that node answers, PeerError, PeerTimeout, NodeNotFound,
        IdempotencyMismatch, Overloaded: then nothing will be typed.
        """
        dispatch = self.begin(f"{slot}@{node}", fingerprint(request), sender)
        try:
            return await self.send(dispatch, slot, node, request, sender)
        except NotTaken as refused:
            raise refused.error from refused

    def begin(self, place: str, mark: str, sender: Sender) -> Dispatch:
        """The dispatch that the sender's key stands for, else a new one. `mark` is what must be equal for that. Raises
        IdempotencyMismatch.
        """
        known = None if sender.key is None else self._store.by_key(sender.id, place, sender.key)
        if known is None:
            return Dispatch(
                id=ulid(), principal=sender.id, place=place, key=sender.key, fingerprint=mark, created_ms=now_ms()
            )
        if known.fingerprint != mark:
            raise IdempotencyMismatch(
                f"Idempotency-Key {sender.key!r} was used for another request to {place}",
                hint="use a new key for a new prompt",
                receipt=known.receipt,
            )
        return known

    @asynccontextmanager
    async def turn(self, place: str, sender: Sender, timeout_s: float) -> AsyncIterator[bool]:
        """For a choice of slots: requests of one sender with one key are placed one after the other, or each could find
        a slot of its own. False: the one before was not placed in `timeout_s` seconds, or this daemon ends.
        """
        if sender.key is None:
            yield True
            return
        lock = self._turns.setdefault((sender.id, place, sender.key), asyncio.Lock())
        mine = await self._unless_closing(_acquired(lock, timeout_s)) or False
        try:
            yield mine
        finally:
            if mine:
                lock.release()

    async def send(self, dispatch: Dispatch, slot: str, node: str, request: InjectRequest, sender: Sender) -> Receipt:
        """Send to `slot@node`, again while it is in doubt and time is left. Raises NotTaken: then another slot may be
        tried with the same dispatch.
        """
        dispatch.slot, dispatch.node, dispatch.when = slot, node, request.when
        deadline = monotonic() + request.timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                peer = self._peer(node)  # anew each time: the table may have another address for it by now
            except NodeNotFound as gone:
                if not dispatch.sent_ms:
                    raise NotTaken(gone) from gone
                return self._in_doubt(dispatch, "left this node's table; whether it has the prompt is not known")
            left_s = max(0.0, deadline - monotonic())
            sent_before, lurks_ms = dispatch.sent_ms > 0, dispatch.lurks_ms
            self._about_to_send(dispatch)
            try:
                asked = msgspec.structs.replace(request, timeout_s=left_s)
                receipt = await self._unless_closing(self._ask(peer, dispatch, asked, sender))
            except NotTaken as refused:
                dispatch.lurks_ms = lurks_ms
                if not (sent_before and (self._lurks(dispatch) or _says_nothing_of_before(refused.error))):
                    self.reached_nobody(dispatch)
                    raise NotTaken(sender.shown(node, refused.error)) from refused
                receipt = None  # an earlier attempt may have arrived
            except _ConnectionLost:
                dispatch.lurks_ms, receipt = lurks_ms, None
            if receipt is not None:
                dispatch.receipt, dispatch.taken = receipt.id, True
                self._store.save(dispatch)
                return receipt
            if monotonic() + pause_s >= deadline or await self._closes_within(pause_s):
                return self._in_doubt(dispatch)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def unsettled(self, dispatch: Dispatch) -> Receipt:
        """A receipt of a prompt that another request is placing just now. Raises Overloaded: it is nowhere yet."""
        if dispatch.receipt:
            return self._in_doubt(dispatch, "has not yet answered the request that used this Idempotency-Key first")
        raise Overloaded(
            f"another request with Idempotency-Key {dispatch.key!r} is being placed", hint="ask again with the same key"
        )

    def doubtful(self, receipt: str) -> Receipt | None:
        """A receipt of another node that is away, as far as this node can tell; None: it sent no such prompt."""
        dispatch = self._store.by_receipt(receipt)
        return None if dispatch is None else self._in_doubt(dispatch)

    def missing(self, receipt: str) -> Receipt | None:
        """The same if that node is there and has no such receipt: after a while it never will."""
        dispatch = self._store.by_receipt(receipt)
        if dispatch is None or dispatch.taken:
            return None
        if self._lurks(dispatch):
            return self._in_doubt(dispatch, "does not have it yet; it may still arrive")
        error = ReceiptError("not_delivered", f"node {dispatch.node} never got this prompt")
        return msgspec.structs.replace(self._in_doubt(dispatch), stage="failed", error=error)

    def stays_here(self, dispatch: Dispatch, slot: str, own: str, when: When) -> None:
        """Record that the prompt goes to a slot of this node itself, before it does."""
        dispatch.slot, dispatch.node, dispatch.when = slot, own, when
        self._about_to_send(dispatch)

    # -- one attempt --

    def _about_to_send(self, dispatch: Dispatch) -> None:
        dispatch.receipt = dispatch.receipt or f"{dispatch.id}@{dispatch.node}"
        # If this daemon dies now, the kernel still sends what it was given.
        dispatch.sent_ms = dispatch.lurks_ms = now_ms()
        self._store.save(dispatch)

    def reached_nobody(self, dispatch: Dispatch) -> None:
        """Forget where it went: it provably was not taken there."""
        dispatch.sent_ms = dispatch.lurks_ms = 0
        dispatch.receipt = ""
        self._store.drop(dispatch)

    def _lurks(self, dispatch: Dispatch) -> bool:
        return now_ms() - dispatch.lurks_ms < LURKS_S * 1000

    async def _unless_closing(self, attempt: Coroutine[Any, Any, _T]) -> _T | None:
        """`attempt`, but given up when this daemon ends: then None."""
        task = asyncio.ensure_future(attempt)
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({task, closing}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            closing.cancel()
            task.cancel()

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self, peer: Peer, dispatch: Dispatch, request: InjectRequest, sender: Sender) -> Receipt | None:
        """The receipt; None if nobody knows whether it arrived. Raises NotTaken: this attempt provably did not;
        _ConnectionLost: nobody knows, but it doesn't lurk either.
        """
        headers = {**sender.headers, "Idempotency-Key": dispatch.far_key, RECEIPT_HEADER: dispatch.id}
        try:
            answer = await peer.ask(
                "POST", f"/inject/{dispatch.slot}", body=msgspec.json.encode(request), headers=headers,
                timeout_s=request.timeout_s,
            )  # fmt: skip
        except (PeerError, PeerTimeout) as error:
            if error.details.get("sent") is False:
                raise NotTaken(error) from error
            if isinstance(error, PeerTimeout):
                return None
            raise _ConnectionLost from error
        return self._judged(peer, dispatch, answer)

    def _judged(self, peer: Peer, dispatch: Dispatch, answer: Answer) -> Receipt | None:
        if answer.status >= 400:
            try:
                error = error_from(answer.status, answer.body, peer.url)
            except BadAnswer:
                return None
            if isinstance(error, Internal):
                return None
            raise NotTaken(error)
        try:
            receipt = msgspec.json.decode(answer.body, type=Receipt)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        right = (receipt.slot, receipt.node) == (dispatch.slot, dispatch.node)
        return receipt if right and receipt.id.endswith(f"@{dispatch.node}") else None

    def _in_doubt(
        self, dispatch: Dispatch, why: str = "is away; whether it has the prompt is known once it is back"
    ) -> Receipt:
        message = f"node {dispatch.node} {why}"
        return Receipt(
            id=dispatch.receipt, slot=dispatch.slot, node=dispatch.node, stage="in_doubt",
            stages={"in_doubt": rfc3339(dispatch.sent_ms)}, queue_position=None, changes=(), reply=None,
            error=ReceiptError("in_doubt", message), capped=False,
        )  # fmt: skip


def _says_nothing_of_before(error: MeshdError) -> bool:
    """Whether a refusal came before the node looked for the key: then an earlier attempt may have been taken."""
    return isinstance(error, PeerError | PeerTimeout | Draining | Overloaded) or error.status in (401, 403, 404)


async def _acquired(lock: asyncio.Lock, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await lock.acquire()
    except TimeoutError:
        return False
