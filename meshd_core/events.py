"""The bus: what happens on this node, told to whoever subscribed, at once and in order.

Publishing never waits and never fails: a subscriber only takes note (a sink's ring, a stream's wake-up), and one that
raises is logged and hurts nobody.
"""

import logging
from collections.abc import Callable

from meshd_core.clock import rfc3339, ulid, uuid7
from meshd_core.contracts.events import EventData, FleetEvent

log = logging.getLogger(__name__)

Subscriber = Callable[[FleetEvent], None]


class EventBus:
    """Stamps events with the node's name, its boot id and a number, and hands them on."""

    def __init__(self, node: str, boot_id: str | None = None) -> None:
        self.node = node
        self.boot_id = boot_id or ulid()
        """Of this life of the daemon; a later one's is greater (daemon/boot.py sees to that)."""
        self._seq = 0
        self._subscribers: list[Subscriber] = []

    def stamp(self, slot: str | None, data: EventData) -> FleetEvent:
        """An event with the next number, told to nobody: for a receiver that needs to hear a state again."""
        self._seq += 1
        return FleetEvent(
            id=uuid7(), node=self.node, boot_id=self.boot_id, seq=self._seq, at=rfc3339(), slot=slot, data=data
        )

    def publish(self, slot: str | None, data: EventData) -> None:
        """Tell every subscriber."""
        if not self._subscribers:
            return
        event = self.stamp(slot, data)
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:  # a subscriber may be a plugin's
                log.exception("a subscriber of the event bus failed")

    def subscribe(self, on_event: Subscriber) -> Callable[[], None]:
        """Have `on_event` called for each event, on the event loop; call the result to end it."""
        self._subscribers.append(on_event)

        def end() -> None:
            if on_event in self._subscribers:
                self._subscribers.remove(on_event)

        return end
