"""What happens in a slot, told to all who listen: the journal with its readers, and the node's bus."""

from collections.abc import Callable
from typing import Literal

import msgspec

from meshd_core.contracts.events import DialogData, EventData, ExitData
from meshd_core.slots.feed import Feed
from meshd_core.slots.views import Views, inject_data
from meshd_core.terminal.records import Kind
from meshd_core.types import Dialog, DialogEvent, EndEvent, ExitStatus, Receipt

MAX_EVENT_REPLY_CHARS = 32_768
"""A longer reply is left out of `inject` events: the ring is for many events; the receipt has it."""


class Announcer:
    """Tells of one slot. `tell` publishes on the bus; `open` comes before everything else."""

    def __init__(self, feed: Feed, tell: Callable[[EventData], None]) -> None:
        self._feed, self._tell = feed, tell
        self._shown: Dialog | None = None
        self._queue_told = 0

    def open(self, views: Views) -> None:
        self._views = views

    def state_changed(self) -> None:
        """Status, activity or dialog changed; an adoption starts from the journal's newest `state` event."""
        state = self._views.state()
        before, self._shown = self._shown, self._views.open_dialog
        self._feed.set_snapshot(state)
        self._feed.publish_event(Kind.STATE, state)
        if (before.id if before else None) != (self._shown.id if self._shown else None):
            if (closed := self._views.dialog(before)) is not None:
                self._dialog_changed("closed", closed)
            if state.dialog is not None:
                self._dialog_changed("opened", state.dialog)
        self._tell_slot()

    def _dialog_changed(self, event: Literal["opened", "closed"], dialog: Dialog) -> None:
        self._feed.publish_event(Kind.DIALOG, DialogEvent(event=event, dialog=dialog))
        self._tell(DialogData(event=event, dialog=dialog))

    def config_changed(self) -> None:
        """The slot's configuration changed, and with it perhaps what its filters let through."""
        self._feed.set_snapshot(self._views.state())
        self._tell_slot()

    def removed(self) -> None:
        """The slot is no more."""
        self._tell(self._views.slot_data(removed=True))

    def run_ended(self, status: ExitStatus, pid: int) -> None:
        self._feed.publish_event(Kind.END, EndEvent(exit=status, pid=pid))
        self._tell(ExitData(exit=status, pid=pid))

    def receipt_moved(self, receipt: Receipt) -> None:
        if receipt.reply is not None and len(receipt.reply) > MAX_EVENT_REPLY_CHARS:
            receipt = msgspec.structs.replace(receipt, reply=None)
        self._feed.publish_event(Kind.INJECT, receipt)
        self._tell(inject_data(receipt))
        self.queue_moved()

    def queue_moved(self) -> None:
        """Prompts came or went: the bus is told if it was told another number. Streams have `inject` events for it."""
        if self._views.queued != self._queue_told:
            self._tell_slot()

    def _tell_slot(self) -> None:
        data = self._views.slot_data()
        self._queue_told = data.queue
        self._tell(data)
