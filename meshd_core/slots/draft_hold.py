"""What of an earlier prompt may still stand in the agent's input box, and that nothing is typed over it.

It is on disk with the prompt's receipt: the daemon that knows of a draft can die as well before the draft is gone.
"""

import logging
from collections.abc import Callable

from meshd_core.errors import Overloaded
from meshd_core.slots.receipts import Draft, Entry, ReceiptStore

log = logging.getLogger(__name__)


class DraftHold:
    """Holds one slot's queue while there is a draft. Where drafts are `seen()`, nothing is held and nothing cleared
    before its time: the typist empties the box for the next prompt, and only then.
    """

    def __init__(self, store: ReceiptStore, seen: Callable[[], bool]) -> None:
        self._store, self._seen = store, seen
        self._entry: Entry | None = None

    @property
    def draft(self) -> Draft | None:
        """Why nothing may be typed; None: type on."""
        return None if self._seen() else self.left

    @property
    def left(self) -> Draft | None:
        """What may be there, whether or not it holds the queue."""
        return None if self._entry is None else self._entry.draft

    @property
    def clearable(self) -> bool:
        """Whether keys can remove it, as far as is known, and now is the time."""
        return self.draft in ("paste", "draft")

    def take(self, entry: Entry, draft: Draft | None = None) -> None:
        """Hold for `entry`, which is about to be recorded (or, without `draft`, was found on disk so)."""
        if self._entry is not entry:
            self.release()  # one at a time: whatever stands there is now `entry`'s
        entry.draft = draft or entry.draft
        self._entry = entry

    def left_to_a_person(self) -> None:
        """No key of this kind removes it."""
        if self._entry is not None:
            self._entry.draft = "person"
            self._record(self._entry)

    def release(self) -> None:
        """It is gone."""
        if self._entry is not None:
            entry, self._entry = self._entry, None
            entry.draft = None
            self._record(entry)

    def _record(self, entry: Entry) -> None:
        try:
            self._store.save(entry)
        except Overloaded as full:
            # After a crash the queue would hold once more than needed; that loses nothing.
            log.warning("hold not recorded", extra={"slot": entry.slot, "reason": str(full)})
