"""One slot's queue of prompts: first in, first out, one typed at a time, each with a receipt.

The worker types the head of the queue when the agent is ready for it; the end of a turn completes the receipt that
began it, and those of the prompts that joined it. Nothing here is typed twice: see `receipts` for what survives a
crash.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal

from meshd_core.clock import now_ms
from meshd_core.contracts.kinds import KindProfile
from meshd_core.errors import InjectNotCancellable, Overloaded
from meshd_core.slots.acceptance import Acceptance
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.draft_hold import DraftHold
from meshd_core.slots.human_typing import TypingHold
from meshd_core.slots.live_receipts import LiveReceipts
from meshd_core.slots.readiness import Readiness
from meshd_core.slots.receipts import Draft, Entry, ReceiptStore
from meshd_core.slots.turns import Outcome, Turns
from meshd_core.slots.typist import DraftStands, NotNow, TypingFailed, TypingInDoubt, Typist
from meshd_core.types import InjectRequest, QueueBlock, QueueReport, Receipt, ReceiptError, Stage, Until

log = logging.getLogger(__name__)

_QUIET_POLL_S = 0.1
_DRAFT_POLL_S = 0.5
_NOT_TAKEN = ("menu_opened", "command_unknown", "text_not_seen")
"""What a prompt fails by, although it was typed, where the agent shows that it didn't take it. Not by the text that
still stands in its box after Enter: an agent that is slow to read takes it later.
"""
_LONGEST_WAIT_S = 60.0


class InjectQueue:
    """The prompts of one slot. `reply` tells what came of a finished turn, or of an interrupted one."""

    def __init__(
        self,
        slot: str,
        node: str,
        profile: KindProfile,
        store: ReceiptStore,
        tracker: ActivityTracker,
        publish: Callable[[Receipt], None],
        shorter: Callable[[], None],
        reply: Callable[[Entry, bool], Awaitable[Outcome]],
        silent_s: Callable[[], float],
    ) -> None:
        self._slot, self._profile = slot, profile
        self._store, self._tracker, self._publish = store, tracker, publish
        self._receipts = LiveReceipts(slot, store, publish, self._position)
        self._shorter, self._reply = shorter, reply
        self._readiness = Readiness(slot, profile, tracker, silent_s)
        self._queue: deque[Entry] = deque()
        self._turns = Turns()
        self._kick = asyncio.Event()
        self._typing: asyncio.Timeout | None = None
        self._typist: Typist | None = None
        self._hold = DraftHold(store, lambda: self._profile.submit.sees_drafts)
        self._box_block: Literal["person", "input_unseen"] | None = None
        self.human = TypingHold(self._kick.set)
        self._acceptance = Acceptance(slot, node, profile, store, self._readiness, self.human)
        self.accepted = 0
        self._closed = False

    # -- what callers see --

    @property
    def length(self) -> int:
        return len(self._queue)

    @property
    def held(self) -> Draft | Literal["typing", "input_unseen"] | None:
        """Why nothing is typed: what stands or may stand in the input box, or that a person is typing."""
        return self._hold.draft or ("typing" if self.human.active else None) or self._box_block

    def explain(self) -> QueueReport:
        """Why the next prompt is or is not typed now."""
        head = self._queue[0] if self._queue else None
        steer = head is not None and head.when == "steer"
        found: list[QueueBlock | None] = [
            "draining" if self._closed else "not_running" if self._typist is None else None,
            "writing" if self._typing is not None else None,
            self._hold.draft or self._box_block,
            "typing" if self.human.active else None,
            self._readiness.obstacle(steer) if self._typist is not None else None,
            "quiet" if self._typist is not None and self._readiness.settling else None,
        ]
        return QueueReport(
            blocked_by=tuple(block for block in found if block is not None), length=len(self._queue),
            next=None if head is None else head.id, when="steer" if steer else "idle",
            turn=None if self._turns.first is None else self._turns.first.id, human_s=round(self.human.left_s, 1),
        )  # fmt: skip

    def ids(self) -> list[str]:
        return [entry.id for entry in self._queue]

    def live(self, receipt_id: str) -> Receipt | None:
        """The receipt, if it has not come to its end yet."""
        entry = self._receipts.get(receipt_id)
        return None if entry is None else self._receipts.view(entry)

    def accept(self, request: InjectRequest, principal: str, key: str | None, receipt: str | None = None) -> Entry:
        """Record a prompt durably and queue it; with a known `key`, the entry that it stands for already.

        `receipt` is the ULID that its receipt is to have, if an entry node made one; one that is in use is not taken.
        Raises TooLarge, InvalidField, IdempotencyMismatch, SlotBusy, SlotWaiting, QueueFull, Overloaded (disk full).
        """
        if (known := self.known(request, principal, key)) is not None:
            return known
        entry = self._acceptance.entry(request, principal, key, receipt, len(self._queue))
        entry.move("accepted")
        self._store.save(entry)
        self.accepted += 1
        self._enqueue(entry)
        self._publish(self._receipts.view(entry))
        return entry

    def known(self, request: InjectRequest, principal: str, key: str | None) -> Entry | None:
        """The entry that `key` was used for, if it was. Raises IdempotencyMismatch if that was another request,
        TooLarge.
        """
        known = self._acceptance.known(request, principal, key)
        return None if known is None else self._receipts.get(known.id) or known

    async def wait(self, entry: Entry, until: Until, timeout_s: float) -> Receipt:
        """The receipt once `until` is reached or it ended, else as it stands after `timeout_s`."""
        return await self._receipts.wait(entry, until, timeout_s)

    def cancel(self, receipt_id: str) -> Receipt:
        """Take a queued prompt back. Raises InjectNotCancellable if it is being typed or has ended."""
        entry = self._receipts.get(receipt_id)
        if entry is None or entry.stage != "accepted":
            stage = entry.stage if entry else "ended"
            raise InjectNotCancellable(f"receipt {receipt_id} is {stage}: only a queued prompt can be cancelled")
        self._queue.remove(entry)
        self._end(entry, "cancelled", None)
        return self._receipts.view(entry)

    # -- what the slot tells --

    def agent_started(self, typist: Typist) -> None:
        """A run of the agent begins (or was adopted); prompts are typed by `typist` from now on."""
        self._typist = typist
        self._readiness.run_began()
        self.activity_changed()

    def close(self) -> None:
        """The daemon drains: whoever waits gets the receipt as it stands, and nothing more is typed."""
        self._closed = True
        self._typist = None
        self.human.release()
        self._receipts.close()

    def agent_stopping(self) -> None:
        """The agent is asked to exit, which may make it idle for a moment: nothing more is typed into this run."""
        self._typist = None

    def interrupted(self) -> None:
        """The keys of an interrupt go to an agent at work."""
        self._turns.interrupted()

    def agent_exited(self, what: str) -> None:
        """The run ended: what was in flight is in doubt, what was queued fails; nothing reaches a later run."""
        self._typist = None
        self._hold.release()
        self._box_block = None
        self.human.release()
        if self._typing is not None:
            self._typing.reschedule(-1)
        error = ReceiptError(code="agent_exited", message=what)
        for turn in self._turns:
            self._end(turn, "failed", error)
        self._fail_queued(error)
        for entry in list(self._queue):
            self._leave(entry, "unknown", error)

    def set_profile(self, profile: KindProfile) -> None:
        """The kind's options changed; what is being typed goes on by the old ones."""
        self._profile = self._readiness.profile = self._acceptance.profile = profile
        if self._typist is not None:
            self._typist.profile = profile

    def retire(self) -> None:
        """The slot is no longer in the configuration: what waits is not typed any more; what was typed goes on."""
        message = f"{self._slot} is no longer in the configuration"
        self._fail_queued(ReceiptError(code="slot_removed", message=message))

    def _fail_queued(self, error: ReceiptError) -> None:
        for entry in list(self._queue):
            if entry.stage == "accepted":
                self._leave(entry, "failed", error)

    def activity_changed(self) -> None:
        """The slot's activity or dialog changed."""
        if self._typist is None:
            return  # what an adoption replays is history
        self._turns.activity_changed(self._tracker)
        if self._tracker.activity.state == "busy" and self._typing is None:
            self._hold.release()  # whatever stood in the input box is being worked on: somebody submitted it
        self._kick.set()

    def load(self) -> None:
        """Take up what an earlier daemon left: call before `agent_started` or `agent_exited`."""
        for entry in self._store.open_entries(self._slot):
            if entry.ended:
                self._hold.take(entry)
                continue
            self._receipts.add(entry)
            if entry.stage == "submitted":
                self._turns.add(entry)
            else:
                self._queue.append(entry)

    def in_doubt(self) -> Entry | None:
        """After `load`: the prompt that the earlier daemon was typing, if any; of others the end was not recorded."""
        return next((entry for entry in reversed(self._queue) if entry.in_flight), None)

    def prove(self, entry: Entry) -> None:
        """After `load`: the journal shows that the agent began to work after our Enter."""
        self._queue.remove(entry)
        self.record(entry, "submitted")
        self._after_submit(entry)

    def doubt(self, entry: Entry, paste_open: bool) -> None:
        """After `load` and `agent_started`: no proof was found; the draft must go before anything else is typed."""
        self._queue.remove(entry)
        message = "the daemon died while it was typing this prompt; it is not typed again"
        error = ReceiptError(code="daemon_died", message=message)
        self._end(entry, "unknown", error, draft="paste" if paste_open else "draft")

    # -- the worker --

    async def run(self) -> None:
        """Type and complete until cancelled; one task of the slot."""
        while True:
            if (ended := self._turns.ended) is not None:
                await self._complete(ended)
            elif (entry := self._next()) is not None:
                await self._type(entry)
            elif self._hold.clearable and self._typist is not None and not self.human.active and self._readiness.calm():
                await self._clear_draft(self._typist)
            else:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until something changed, the next expiry, or the next look at a silent terminal."""
        until = min((entry.expires_ms for entry in self._queue), default=None)
        pause = _LONGEST_WAIT_S if until is None else max(0.01, min(_LONGEST_WAIT_S, (until - now_ms()) / 1000))
        waits = not self._tracker.has_evidence or self._readiness.settling
        if (self._queue and waits) or self._hold.clearable:
            pause = min(pause, _QUIET_POLL_S)
        if self._box_block is not None:
            pause = min(pause, _DRAFT_POLL_S)
        try:
            async with asyncio.timeout(pause):
                await self._kick.wait()
        except TimeoutError:
            pass
        self._kick.clear()

    def _next(self) -> Entry | None:
        """The head of the queue, if it can be typed now."""
        if self._typist is not None:
            for entry in [entry for entry in self._queue if entry.stage != "accepted"]:
                self._break_off(entry)  # nobody is typing it now, and it is not typed again
        now = now_ms()
        for entry in [entry for entry in self._queue if entry.expires_ms <= now and entry.stage == "accepted"]:
            self._queue.remove(entry)
            self._end(entry, "expired", ReceiptError(code="expired", message="it waited longer than expires_s"))
        if self._box_block is not None and self._typist is not None:
            self._box_block = self._typist.obstacle
        if not self._queue or self._typist is None or self.held is not None or self._readiness.settling:
            return None
        head = self._queue[0]
        return head if self._readiness.ready(head.when == "steer") else None

    async def _type(self, entry: Entry) -> None:
        typist = self._typist
        if typist is None:
            return
        try:
            async with asyncio.timeout(None) as self._typing:
                await typist.type(entry, self._hold.left)
        except NotNow:
            return
        except DraftStands:
            self._box_block = typist.obstacle
            return
        except TypingInDoubt as doubt:
            stage: Stage = "failed" if doubt.error.code in _NOT_TAKEN else "unknown"
            self._leave(entry, stage, doubt.error, draft="draft" if "written" in entry.stages else "paste")
            return
        except TypingFailed as failure:
            self._leave(entry, "failed", failure.error)
            return
        except Overloaded as full:
            if entry.stage != "submitted":  # else it was taken, and its end will be recorded if the disk recovers
                error = ReceiptError(code=full.code, message=full.message)
                stage = "unknown" if "entered" in entry.stages else "failed"
                self._leave(entry, stage, error, draft="draft" if "written" in entry.stages else None)
                return
        except Exception:
            if entry not in self._queue:
                return  # agent_exited has ended the entry
            log.exception("typing a prompt failed", extra={"slot": self._slot, "receipt": entry.id})
            if entry.stage != "submitted":
                self._break_off(entry)
                return
        finally:
            self._typing = None
        if entry in self._queue:
            self._queue.remove(entry)
            self._shorter()
            self._after_submit(entry)

    def _break_off(self, entry: Entry) -> None:
        """A fault ended the typing of `entry`: it is in doubt, unless nothing of it was typed."""
        error = ReceiptError(code="internal", message="a fault in meshd broke off its typing; it is not typed again")
        if entry.stage == "accepted":
            self._leave(entry, "failed", error)
        else:
            self._leave(entry, "unknown", error, self._hold.left or ("draft" if "written" in entry.stages else "paste"))

    def _leave(self, entry: Entry, stage: Stage, error: ReceiptError, draft: Draft | None = None) -> None:
        if entry in self._queue:
            self._queue.remove(entry)
            self._end(entry, stage, error, draft)

    def _after_submit(self, entry: Entry) -> None:
        if entry.stage == "submitted" and self._profile.proves != "completed":
            entry.cap()
            self.record(entry, "submitted")
        if entry.capped:
            self._receipts.drop(entry)
            return
        self._turns.add(entry)
        self.activity_changed()

    async def _complete(self, turn: Entry) -> None:
        if turn.joined and not await self._turns.stays_over(turn):
            return
        self._turns.taken_up(turn)
        outcome = await self._reply(turn, self._turns.was_interrupted(turn))
        turn.reply = outcome.reply
        if turn in self._turns:
            if self._turns.was_interrupted(turn):
                # claude puts a prompt that it hasn't answered yet back into its input box, before the next one.
                draft: Draft | None = "draft" if self._profile.submit.clear is not None else None
                error = ReceiptError(code="interrupted", message="the turn was interrupted")
                self._end(turn, "failed", error, draft)
            else:
                failure = None if outcome.failure is None else ReceiptError(code="turn_failed", message=outcome.failure)
                self._end(turn, "completed", failure)

    async def _clear_draft(self, typist: Typist) -> None:
        try:
            async with asyncio.timeout(None) as self._typing:
                cleared = await typist.clear_draft(self._hold.left == "paste")
        except NotNow:
            return
        except (TimeoutError, TypingFailed):
            cleared = False
        finally:
            self._typing = None
        if cleared:
            self._hold.release()
        else:
            self._hold.left_to_a_person()

    # -- records --

    def _enqueue(self, entry: Entry) -> None:
        self._receipts.add(entry)
        self._queue.append(entry)
        self._kick.set()

    def record(self, entry: Entry, *stages: Stage) -> None:
        """Move `entry` to `stages`: on disk first, then for everyone to see. Raises Overloaded: the disk is full."""
        self._receipts.save(entry, *stages)
        if "writing" in stages:
            self._hold.release()  # it is typed into an empty box
        self._receipts.tell(entry)

    def _end(self, entry: Entry, stage: Stage, error: ReceiptError | None, draft: Draft | None = None) -> None:
        self._turns.remove(entry)
        if draft is not None:
            self._hold.take(entry, draft)
        entry.error = error
        entry.text = ""
        self._receipts.end(entry, stage)
        self._kick.set()

    def _position(self, entry: Entry) -> int | None:
        return self._queue.index(entry) if entry.stage == "accepted" and entry in self._queue else None
