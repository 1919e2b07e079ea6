"""A sink that keeps what it is sent and misbehaves on demand; and events to send."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from meshd_core.api import (
    DialogData,
    EventData,
    FleetEvent,
    FleetSink,
    HeartbeatData,
    SinkConnection,
    SinkContext,
    SlotData,
)
from meshd_core.events import EventBus
from meshd_core.types import Activity, Dialog, DialogOption, SlotCounts

Turn = BaseException | Callable[[Sequence[FleetEvent]], Awaitable[None]]
"""What one `send` does instead of keeping the batch: raise, or await this (and then keep it)."""


class MemorySink(FleetSink):
    """Keeps events in `events`. What is put into `turns` happens in the next sends, one each."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.batches: list[tuple[FleetEvent, ...]] = []
        self.turns: deque[Turn] = deque()
        self.refuse: Callable[[Sequence[FleetEvent]], BaseException | None] = lambda batch: None
        """Asked for every send that no turn is left for: what it raises, if anything."""
        self.opening: Callable[[], None] = lambda: None
        """Called by `open`."""
        self.contexts: list[SinkContext] = []
        self.sends = 0
        self.closed = 0

    @property
    def events(self) -> list[FleetEvent]:
        return [event for batch in tuple(self.batches) for event in batch]

    def open(self, context: SinkContext) -> SinkConnection:
        self.contexts.append(context)
        self.opening()
        return _MemoryConnection(self)


class _MemoryConnection(SinkConnection):
    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink

    async def send(self, batch: Sequence[FleetEvent]) -> None:
        self._sink.sends += 1
        if self._sink.turns:
            turn = self._sink.turns.popleft()
            if isinstance(turn, BaseException):
                raise turn
            await turn(batch)
        elif (error := self._sink.refuse(batch)) is not None:
            raise error
        self._sink.batches.append(tuple(batch))

    async def close(self) -> None:
        self._sink.closed += 1


class EventMaker:
    """Makes events as a node does: one boot, growing numbers."""

    def __init__(self, node: str = "mac1") -> None:
        self._bus = EventBus(node)

    def make(self, slot: str | None, data: EventData) -> FleetEvent:
        return self._bus.stamp(slot, data)

    def heartbeat(self) -> FleetEvent:
        return self.make(None, HeartbeatData(version="0.1.0", uptime_s=1.0, slots=SlotCounts(0, {}, {}), load=[0.0]))

    def state(self, slot: str = "demo", queue: int = 0, kind: str = "demo") -> FleetEvent:
        """A slot's state; `queue` tells one from another."""
        activity = Activity("idle", "2026-11-25T10:00:00.000Z", 0.9)
        data = SlotData(
            kind=kind, labels={}, status="running", activity=activity, dialog=None, title="", pid=4711, restarts=0,
            queue=queue, agent_version=None, error=None, config="live",
        )  # fmt: skip
        return self.make(slot, data)

    def dialog(self, question: str = "Allow it?", slot: str = "demo") -> FleetEvent:
        """A dialog that opened."""
        dialog = Dialog(
            id="d1", kind="approval", question=question, opened_at="2026-11-25T10:00:00.000Z", command="rm -r build",
            options=(DialogOption(id="1", label="Yes", default=True), DialogOption(id="2", label="No")), evidence=(),
        )  # fmt: skip
        return self.make(slot, DialogData(event="opened", dialog=dialog))
