"""That a person is typing into a slot, by an attached terminal or by single keys: no prompt is typed between.

Nobody can see from outside whether a half-written line still stands in the agent's input box. So the hold goes on for
a while after each key, long enough to think about the next word, and ends by itself.
"""

import asyncio
from collections.abc import Callable

from meshd_core.errors import HumanTyping

HOLD_S = 15.0
"""How long after a person's last key no prompt is typed."""


class TypingHold:
    """Holds one slot's queue while a person types. `changed()` is called when the hold begins and when it ends."""

    def __init__(self, changed: Callable[[], None], hold_s: float = HOLD_S) -> None:
        self._changed = changed
        self._hold_s = hold_s
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Whether a person typed within the last `hold_s` seconds."""
        return self._timer is not None

    @property
    def left_s(self) -> float:
        """Seconds until the hold ends if no key follows; 0 without one."""
        return max(0.0, self._until - asyncio.get_running_loop().time()) if self.active else 0.0

    def require_over(self, slot: str) -> None:
        """Raises HumanTyping while a person types: for a prompt that can't wait."""
        if self.active:
            hint = '"when": "idle" queues until a while after the last key'
            raise HumanTyping(f"a person is typing into {slot}", hint=hint, retry_after_s=round(self.left_s, 1))

    def typed(self) -> None:
        """A person pressed a key; call it before the key is written."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._hold_s
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._due)
            self._changed()

    def release(self) -> None:
        """The run ended, or the slot does: what was typed is gone with it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._changed()

    def _due(self) -> None:
        # One timer follows all keys instead of a new one for each.
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._due)
            return
        self._timer = None
        self._changed()
