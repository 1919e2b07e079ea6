"""A slot as it goes over the wire: every text filtered, no value of its environment shown."""

from collections.abc import Callable

import msgspec

from meshd_core.clock import rfc3339
from meshd_core.contracts.events import InjectData, SlotData
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.explain import Judgement
from meshd_core.slots.feed import Feed
from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.keyboard import Keyboard
from meshd_core.slots.launch import Launcher
from meshd_core.slots.lifecycle import Lifecycle
from meshd_core.slots.output import Output
from meshd_core.terminal.output_chain import OutputChain
from meshd_core.types import (
    Activity,
    ConfigState,
    Dialog,
    Explanation,
    OutputRange,
    Receipt,
    Slot,
    SlotConfig,
    SlotCounters,
    SlotDetail,
    StateEvent,
)

_DIALOGS = 2
"""Remembered as they were shown: the open one, and the one before it, which is told of once more when it closes."""


class Views:
    """Makes the wire types of one slot from its parts."""

    def __init__(
        self, node: str, launcher: Launcher, life: Lifecycle, tracker: ActivityTracker, output: Output,
        queue: InjectQueue, feed: Feed, keyboard: Keyboard, filter_errors: Callable[[], int],
        config: Callable[[], ConfigState],
    ) -> None:  # fmt: skip
        self._node, self._launcher, self._life = node, launcher, life
        self._tracker, self._output, self._queue, self._feed = tracker, output, queue, feed
        self._keyboard = keyboard
        self._filter_errors, self._config = filter_errors, config
        self._activity: tuple[Activity, OutputChain, Activity] | None = None
        self._dialogs: dict[str, tuple[Dialog, OutputChain, Dialog]] = {}
        self.agent_version: str | None = None

    def activity(self) -> Activity:
        """The activity, with its evidence's texts filtered: when it is first asked for, while the screen shows them."""
        activity, chain = self._tracker.activity, self._output.chain
        if self._activity is None or self._activity[:2] != (activity, chain):
            evidence = tuple(
                msgspec.structs.replace(item, matched=self._output.piece(item.matched)) for item in activity.evidence
            )
            self._activity = activity, chain, msgspec.structs.replace(activity, evidence=evidence)
        return self._activity[2]

    def dialog(self, dialog: Dialog | None) -> Dialog | None:
        """`dialog` with all its texts filtered: when it is first asked for, while the screen shows them."""
        if dialog is None:
            return None
        chain = self._output.chain
        known = self._dialogs.pop(dialog.id, None)
        if known is None or known[:2] != (dialog, chain):
            known = dialog, chain, self._filtered_dialog(dialog)
        self._dialogs[dialog.id] = known
        while len(self._dialogs) > _DIALOGS:
            del self._dialogs[next(iter(self._dialogs))]
        return known[2]

    def _filtered_dialog(self, dialog: Dialog) -> Dialog:
        shown = self._output.piece
        return msgspec.structs.replace(
            dialog,
            question=shown(dialog.question),
            command=None if dialog.command is None else shown(dialog.command),
            options=tuple(msgspec.structs.replace(option, label=shown(option.label)) for option in dialog.options),
            evidence=tuple(msgspec.structs.replace(item, matched=shown(item.matched)) for item in dialog.evidence),
        )

    @property
    def open_dialog(self) -> Dialog | None:
        """The dialog as it is, unfiltered: to be compared, not shown."""
        return self._tracker.dialog

    def state(self) -> StateEvent:
        """Status, activity and dialog as a `state` event tells them."""
        return StateEvent(status=self._life.status, activity=self.activity(), dialog=self.dialog(self._tracker.dialog))

    def slot(self) -> Slot:
        """The slot as lists show it."""
        section, child = self._launcher.section, self._life.child
        return Slot(
            name=section.name,
            node=self._node,
            address=f"{section.name}@{self._node}",
            kind=section.kind,
            labels=section.labels,
            status=self._life.status,
            activity=self.activity(),
            dialog=self.dialog(self._tracker.dialog),
            pid=None if child is None else child.pid,
            started_at=None if child is None else rfc3339(child.started_at_ms),
            restarts=self._life.restarts,
            exit=self._life.exit,
            agent_version=self.agent_version,
            title=self._output.filtered(self._output.raw_title) if child is not None else "",
            size=self._output.size,
            queue=self._queue.length,
            output=OutputRange(
                first_id=self._feed.id_of(self._feed.tail),
                last_id=self._feed.id_of(self._feed.head),
                lines=self._feed.last_n() - self._feed.first_n() + 1,
            ),
            error=self._life.error,
            config=self._config(),
        )

    @property
    def queued(self) -> int:
        """Prompts that wait or are being typed."""
        return self._queue.length

    def slot_data(self, removed: bool = False) -> SlotData:
        """The slot as an event of the bus tells it."""
        return slot_data(self.slot(), removed)

    def detail(self) -> SlotDetail:
        """The slot with its configuration, counters and queue."""
        section = self._launcher.section
        return SlotDetail(
            **{field: getattr(slot, field) for slot in (self.slot(),) for field in slot.__struct_fields__},
            settings=SlotConfig(
                command=section.command, args=section.args, cwd=str(self._launcher.folder()),
                env=sorted(section.env), autostart=section.autostart, restart=section.restart,
                filters=section.filters, api=section.api, resume=section.resume,
            ),
            counters=SlotCounters(
                bytes_read=self._output.bytes_read, bytes_written=self._keyboard.bytes_written,
                lines=self._output.lines, gaps=self._output.gaps, injects=self._queue.accepted,
                filter_errors=self._filter_errors(),
            ),
            queued=self._queue.ids(),
            held=self._queue.held,
        )  # fmt: skip

    def explain(self, silent_s: float) -> Explanation:
        """Why the activity is what it is, and why the next prompt is or is not typed; the terminal as it is now."""
        judgement = Judgement(self._tracker, self._output.raw_text, self._output.raw_title, self._output.piece)
        profile, alive = self._tracker.profile, self._life.child is not None
        queue = self._queue.explain()
        if self._config() == "removed":
            queue = msgspec.structs.replace(queue, blocked_by=("removed", *queue.blocked_by))
        return Explanation(
            profile=judgement.profile(), sources=judgement.sources() if alive else (),
            rules=judgement.rules() if alive else (), queue=queue, silent_s=round(silent_s, 1),
            quiet_s=None if self._tracker.has_evidence else profile.quiet_s, stuck_after_s=profile.stuck_after_s,
            unseen=self._tracker.unseen,
        )  # fmt: skip


def slot_data(slot: Slot, removed: bool = False) -> SlotData:
    """A slot as lists show it, as an event of the bus."""
    return SlotData(
        kind=slot.kind, labels=slot.labels, status=slot.status, activity=slot.activity, dialog=slot.dialog,
        title=slot.title, pid=slot.pid, restarts=slot.restarts, queue=slot.queue,
        agent_version=slot.agent_version, error=slot.error, config=slot.config, removed=removed,
    )  # fmt: skip


def inject_data(receipt: Receipt) -> InjectData:
    """A receipt as an event of the bus tells it: without its texts, and without the screen that an error shows."""
    error = receipt.error
    return InjectData(
        receipt=receipt.id, stage=receipt.stage, stages=receipt.stages, queue_position=receipt.queue_position,
        reply_chars=None if receipt.reply is None else len(receipt.reply), capped=receipt.capped,
        error=None if error is None else msgspec.structs.replace(error, screen=None),
    )  # fmt: skip
