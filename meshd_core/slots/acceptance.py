"""Whether a prompt is taken at all, and the receipt that it then gets. Nothing is recorded here."""

from meshd_core.clock import now_ms, ulid
from meshd_core.contracts.kinds import KindProfile
from meshd_core.errors import IdempotencyMismatch, InvalidField, QueueFull, TooLarge
from meshd_core.slots.human_typing import TypingHold
from meshd_core.slots.readiness import Readiness
from meshd_core.slots.receipts import Entry, ReceiptStore, fingerprint
from meshd_core.slots.sanitize import refused, sanitize
from meshd_core.types import MAX_PROMPT_BYTES, MAX_QUEUED, InjectRequest
from meshd_core.unseen import squeeze


class Acceptance:
    """Judges for one slot's queue, by the rules of `profile`."""

    def __init__(
        self, slot: str, node: str, profile: KindProfile, store: ReceiptStore, readiness: Readiness, human: TypingHold
    ) -> None:
        self._slot, self._node, self.profile = slot, node, profile
        self._store, self._readiness, self._human = store, readiness, human

    def known(self, request: InjectRequest, principal: str, key: str | None) -> Entry | None:
        """The entry that `key` was used for, as it is on disk. Raises IdempotencyMismatch if it was another request,
        TooLarge.
        """
        size = len(request.text.encode("utf-8", "replace"))
        if size > MAX_PROMPT_BYTES:
            raise TooLarge(f"the prompt has {size} bytes, more than {MAX_PROMPT_BYTES}", limit_bytes=MAX_PROMPT_BYTES)
        if key is None or (known := self._store.by_key(principal, self._slot, key)) is None:
            return None
        if known.fingerprint != fingerprint(request):
            raise IdempotencyMismatch(
                f"Idempotency-Key {key!r} was used for another request to {self._slot}",
                hint="use a new key for a new prompt",
                receipt=known.id,
            )
        return known

    def entry(self, request: InjectRequest, principal: str, key: str | None, receipt: str | None, queued: int) -> Entry:
        """A new entry, behind `queued` others. `receipt` is the ULID that it is to have, if that is free.

        Raises InvalidField, SlotBusy, SlotWaiting, HumanTyping, QueueFull.
        """
        text, changes = sanitize(request.text, self.profile.sanitize)
        if request.submit and not squeeze(text):
            raise InvalidField("text: nothing is left to submit", hint="send a prompt that is not only blanks")
        if (pattern := refused(text, self.profile.sanitize)) is not None:
            raise InvalidField(
                f"text: {self.profile.title} would not take it as a prompt: it matches {pattern!r}",
                hint="put words around it",
            )
        self._readiness.require(request, queued > 0, self._human)
        if queued >= MAX_QUEUED:
            raise QueueFull(f"{self._slot} has {MAX_QUEUED} prompts queued", limit=MAX_QUEUED)
        now = now_ms()
        return Entry(
            id=self._receipt_id(receipt, now), slot=self._slot, node=self._node, text=text, submit=request.submit,
            when=request.when, created_ms=now, expires_ms=now + int(request.expires_s * 1000), changes=changes,
            principal=principal, key=key, fingerprint=fingerprint(request),
        )  # fmt: skip

    def _receipt_id(self, wanted: str | None, now: int) -> str:
        if wanted is not None and self._store.get(f"{wanted}@{self._node}") is None:
            return f"{wanted}@{self._node}"
        return f"{ulid(now)}@{self._node}"
