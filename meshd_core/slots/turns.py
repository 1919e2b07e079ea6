"""What the agent has taken and works on: more than one prompt where one was steered into the turn of another."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.receipts import Entry

_GOES_ON_WITHIN_S = 1.0
"""How soon after a turn an agent begins with what was entered meanwhile, if that did not join the turn."""


class Outcome(NamedTuple):
    """What came of a turn: the agent's answer, and the words of the error that ended it, if one did."""

    reply: str | None = None
    failure: str | None = None


class Turns:
    """The submitted prompts of one slot whose end is awaited, in order."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._over: set[str] = set()
        self._interrupted: set[str] = set()
        self._changed = asyncio.Event()

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    @property
    def first(self) -> Entry | None:
        return self._entries[0] if self._entries else None

    @property
    def ended(self) -> Entry | None:
        """The first whose end was seen."""
        return next((entry for entry in self._entries if entry.id in self._over), None)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)

    def remove(self, entry: Entry) -> None:
        """Its receipt came to its end, whatever it is; also of one that never was a turn."""
        if entry in self._entries:
            self._entries.remove(entry)
        self._forget((entry.id,))

    def taken_up(self, entry: Entry) -> None:
        """Its end is being told."""
        self._over.discard(entry.id)

    def interrupted(self) -> None:
        """The keys of an interrupt go to an agent at work: what ends next did not end by itself."""
        self._interrupted.update(entry.id for entry in self._entries)

    def was_interrupted(self, entry: Entry) -> bool:
        return entry.id in self._interrupted

    def activity_changed(self, tracker: ActivityTracker) -> None:
        """The agent's activity changed: turns end, or it goes on with what it took while it worked on one."""
        if tracker.turn_over:
            self._over.update(entry.id for entry in self._entries)
        elif tracker.activity.state in ("busy", "waiting"):
            self._forget([entry.id for entry in self._entries if entry.joined and entry.id in self._over])
        self._changed.set()

    async def stays_over(self, entry: Entry) -> bool:
        """Whether the end of the turn was that of `entry`, which was entered into it: it may begin with it now."""
        try:
            async with asyncio.timeout(_GOES_ON_WITHIN_S):
                while entry.id in self._over:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return entry.id in self._over

    def _forget(self, ids: Iterable[str]) -> None:
        self._over.difference_update(ids)
        self._interrupted.difference_update(ids)
        self._changed.set()
