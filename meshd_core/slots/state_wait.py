"""Waiting until an agent is in a state, and for the words of its question if it is one that asks."""

from collections.abc import Collection

from meshd_core.slots.activity import WORDS_WITHIN_S, ActivityTracker
from meshd_core.slots.changes import Changes
from meshd_core.slots.lifecycle import Lifecycle

_WORDS_S = WORDS_WITHIN_S + 0.5


class StateWait:
    """Of one slot."""

    def __init__(self, changes: Changes, life: Lifecycle, tracker: ActivityTracker) -> None:
        self._changes, self._life, self._tracker = changes, life, tracker

    async def wait_for(self, states: Collection[str], wait_s: float) -> None:
        """Wait until the activity or the status is one of `states`, or until `wait_s` has passed."""
        found = await self._changes.wait(
            lambda: self._life.status in states or self._tracker.activity.state in states, wait_s
        )
        if found and self._tracker.activity.state == "waiting":
            # A signal comes before the screen that it speaks of: who waited for a question wants its words, too.
            await self._changes.wait(lambda: self._tracker.dialog is not None, _WORDS_S)
