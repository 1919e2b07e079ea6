"""What happens on all nodes, told to any number of listeners: states, dialogs and receipts, each with its address."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct

from meshd_core.contracts.events import DialogData, FleetEvent, InjectData, SlotData
from meshd_core.events import EventBus
from meshd_core.types import MeshDialog, MeshInject, MeshState, NodeOutcome, Slot

MAX_WAITING = 1000
MAX_WAITING_BYTES = 4 * 1024 * 1024
NewsData = MeshState | MeshDialog | MeshInject | NodeOutcome


class Item(Struct, frozen=True):
    """One piece of news; `slot` None: of the node itself."""

    event: str
    node: str
    slot: str | None
    data: NewsData
    size: int = 0
    """Bytes, as another node sent it."""


class Listener:
    """Takes news as they come. One that falls 1,000 or 4 MiB behind is `lost`: it begins anew, with a snapshot."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.lost = False

    def tell(self, item: Item) -> None:
        if len(self._waiting) >= MAX_WAITING or self._bytes + item.size > MAX_WAITING_BYTES:
            self.lost = True
        else:
            self._waiting.append(item)
            self._bytes += item.size
        self._wake.set()

    def wake(self) -> None:
        """Let `wait` return, though nothing happened."""
        self._wake.set()

    def take(self) -> list[Item]:
        """What came since the last time."""
        items = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._wake.clear()
        return items

    async def wait(self, timeout_s: float) -> None:
        """Until something came, at most `timeout_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()


class News:
    """Hands on what the bus and the other nodes tell. Nothing is subscribed to while nobody listens."""

    def __init__(self, bus: EventBus, on_listened: Callable[[bool], None]) -> None:
        self._bus, self._on_listened = bus, on_listened
        self._listeners: dict[Listener, bool] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self.listened = False
        """Whether anyone listens to the other nodes too."""

    @contextmanager
    def listening(self, *, own_only: bool) -> Iterator[Listener]:
        """A listener, while open; `own_only`: to this node alone."""
        listener = Listener()
        self._listeners[listener] = own_only
        self._changed()
        try:
            yield listener
        finally:
            del self._listeners[listener]
            self._changed()

    def tell(self, item: Item) -> None:
        """Hand on news of any node."""
        for listener, own_only in self._listeners.items():
            if not own_only or item.node == self._bus.node:
                listener.tell(item)

    def _changed(self) -> None:
        if self._listeners and self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(self._happened)
        elif not self._listeners and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        listened = not all(self._listeners.values())
        if listened != self.listened:
            self.listened = listened
            self._on_listened(listened)

    def _happened(self, event: FleetEvent) -> None:
        if event.slot is None:
            return
        address = f"{event.slot}@{event.node}"
        match event.data:
            case SlotData() as data:
                self._own("state", event, state_of(address, event.at, data))
            case DialogData(event=what, dialog=dialog):
                self._own("dialog", event, MeshDialog(address, event.at, what, dialog))
            case InjectData() as data:
                self._own("inject", event, _moved(address, event.at, data))

    def _own(self, name: str, event: FleetEvent, data: NewsData) -> None:
        self.tell(Item(name, event.node, event.slot, data))


def _moved(address: str, at: str, data: InjectData) -> MeshInject:
    return MeshInject(
        address=address, at=at, receipt=data.receipt, stage=data.stage, stages=data.stages,
        queue_position=data.queue_position, capped=data.capped, error=data.error,
    )  # fmt: skip


def state_of(address: str, at: str, source: SlotData | Slot) -> MeshState:
    """The state of a slot as the mesh's stream tells it."""
    return MeshState(
        address=address, at=at, kind=source.kind, labels=source.labels, status=source.status,
        activity=source.activity, dialog=source.dialog, title=source.title, queue=source.queue, error=source.error,
        config=source.config, removed=source.removed if isinstance(source, SlotData) else False,
    )  # fmt: skip
