"""What waits for one sink: a bounded ring that never blocks and drops the oldest when it is full.

A slot's state that a newer one in the ring supersedes goes first, so that however long a receiver is away, the newest
state of each slot is the last thing to be lost.
"""

from collections import OrderedDict, deque

from msgspec import Struct

from meshd_core.clock import monotonic
from meshd_core.contracts.events import FleetEvent, SlotData


class _Waiting(Struct, frozen=True):
    event: FleetEvent
    size: int
    since: float


class EventRing:
    """Events in order, at most `max_events` and `max_bytes` (of JSON; a single larger event is kept alone)."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._newest: dict[str, int] = {}
        self._superseded: deque[int] = deque()
        self.size_bytes = 0
        self.dropped = 0
        """Events lost because the ring was full, since it was made."""

    def __len__(self) -> int:
        return len(self._waiting)

    def resize(self, max_events: int, max_bytes: int) -> None:
        """New bounds; what exceeds them is dropped."""
        self._max_events, self._max_bytes = max_events, max_bytes
        self._shrink()

    def put(self, event: FleetEvent, size: int) -> None:
        """Add `event`, whose JSON has `size` bytes; makes room by dropping."""
        if isinstance(event.data, SlotData) and event.slot is not None:
            older = self._newest.get(event.slot)
            if older is not None and older in self._waiting:
                self._superseded.append(older)
            self._newest[event.slot] = event.seq
        self._waiting[event.seq] = _Waiting(event, size, monotonic())
        self.size_bytes += size
        self._shrink()

    def age_s(self) -> float:
        """How long the oldest event has waited; 0 if there is none."""
        return monotonic() - next(iter(self._waiting.values())).since if self._waiting else 0.0

    def take(self, max_events: int, max_bytes: int) -> list[FleetEvent]:
        """Remove the oldest events: at most so many, and so many bytes unless the first alone has more."""
        taken: list[FleetEvent] = []
        taken_bytes = 0
        while self._waiting and len(taken) < max_events:
            oldest = next(iter(self._waiting.values()))
            if taken and taken_bytes + oldest.size > max_bytes:
                break
            self._remove(oldest.event.seq)
            taken.append(oldest.event)
            taken_bytes += oldest.size
        while self._superseded and self._superseded[0] not in self._waiting:
            self._superseded.popleft()
        return taken

    def _shrink(self) -> None:
        while len(self._waiting) > self._max_events or (self.size_bytes > self._max_bytes and len(self._waiting) > 1):
            self._drop()

    def _drop(self) -> None:
        self.dropped += 1
        while self._superseded:
            seq = self._superseded.popleft()
            if seq in self._waiting:
                self._remove(seq)
                return
        self._remove(next(iter(self._waiting)))

    def _remove(self, seq: int) -> None:
        self.size_bytes -= self._waiting.pop(seq).size
