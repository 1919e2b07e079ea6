"""What happens on a node, as typed, versioned facts: for fleet sinks, engines and the mesh's own stream.

Every text in them has been through the slot's output filters. Prompts and replies are not in them.
"""

from typing import Literal

from msgspec import Struct

from meshd_core.types import Activity, ConfigState, Dialog, ExitStatus, ReceiptError, SlotCounts, Stage, Status

EVENT_VERSION = 1

EventType = Literal["node", "slot", "dialog", "inject", "exit", "heartbeat"]


class NodeData(Struct, frozen=True, tag="node", tag_field="type"):
    """The daemon came up, read a changed configuration, or is about to end."""

    event: Literal["up", "reloaded", "down"]
    version: str
    protocol: str
    started_at: str
    slots: list[str]
    urls: list[str]


class SlotData(Struct, frozen=True, tag="slot", tag_field="type"):
    """A slot's state after its status, activity, dialog, queue or configuration changed; `removed`: it is no more."""

    kind: str
    labels: dict[str, str]
    status: Status
    activity: Activity
    dialog: Dialog | None
    title: str
    pid: int | None
    restarts: int
    queue: int
    agent_version: str | None
    error: str | None
    config: ConfigState
    removed: bool = False


class DialogData(Struct, frozen=True, tag="dialog", tag_field="type"):
    event: Literal["opened", "closed"]
    dialog: Dialog


class InjectData(Struct, frozen=True, tag="inject", tag_field="type"):
    """A receipt moved; sizes instead of texts."""

    receipt: str
    stage: Stage
    stages: dict[str, str]
    queue_position: int | None
    reply_chars: int | None
    error: ReceiptError | None
    capped: bool


class ExitData(Struct, frozen=True, tag="exit", tag_field="type"):
    """An agent's process ended."""

    exit: ExitStatus
    pid: int | None


class HeartbeatData(Struct, frozen=True, tag="heartbeat", tag_field="type"):
    """The node lives; comes at a fixed interval."""

    version: str
    uptime_s: float
    slots: SlotCounts
    load: list[float]


EventData = NodeData | SlotData | DialogData | InjectData | ExitData | HeartbeatData


class FleetEvent(Struct, frozen=True):
    """One fact. Events of one node are ordered by (`boot_id`, `seq`); `boot_id` is a ULID, so it grows too."""

    id: str
    """A UUIDv7, made once: a receiver may use it to drop repeats."""
    node: str
    boot_id: str
    seq: int
    at: str
    slot: str | None
    data: EventData
    version: int = EVENT_VERSION

    @property
    def type(self) -> EventType:
        """Which of the six kinds of event; the tag of `data`."""
        return self.data.__struct_config__.tag  # type: ignore[return-value]
