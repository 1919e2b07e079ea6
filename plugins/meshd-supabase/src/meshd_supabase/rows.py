"""Events as rows of the tables in contrib/supabase: the newest state of the node and of each slot, and every event."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from meshd_core.api import EventData, FleetEvent, HeartbeatData, NodeData, SlotData

# PostgreSQL's text holds neither; PostgREST refuses the whole request (22P05, 22P02, 22021).
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


class Stamp(Struct, frozen=True):
    """What orders the rows of one node: the receiver's trigger drops whatever is older than what it has."""

    node: str
    boot_id: str
    seq: int
    at: str


class NodeRow(Stamp, frozen=True):
    state: Literal["up", "down"]
    version: str
    protocol: str
    started_at: str
    slot_names: list[str]
    urls: list[str]


class HeartbeatRow(Stamp, frozen=True):
    """The other columns of the same table."""

    version: str
    uptime_s: float
    slot_counts: Any
    load: list[float]


class SlotRow(Stamp, frozen=True):
    slot: str
    kind: str
    labels: dict[str, str]
    status: str
    activity: str
    activity_since: str
    activity_until: str | None
    confidence: float
    evidence: Any
    dialog: Any
    title: str
    pid: int | None
    restarts: int
    queue: int
    agent_version: str | None
    error: str | None
    config: str
    removed: bool


class EventRow(Stamp, frozen=True):
    id: str
    slot: str | None
    type: str
    version: int
    data: EventData


class Upsert(Struct, frozen=True):
    """One request: rows of one type for one table, no two with the same key.

    Two with the same key in one request are an error for PostgreSQL (21000), and hosted PostgREST says so with 500.
    """

    table: str
    key: str
    """Columns of the conflict, separated by commas."""
    newest_wins: bool
    """Whether a row that is there is updated; else it stays as it is."""
    rows: Sequence[Stamp]

    @property
    def columns(self) -> str:
        return ",".join(type(self.rows[0]).__struct_fields__)


def upserts(batch: Sequence[FleetEvent]) -> Iterable[Upsert]:
    """The requests that deliver `batch`, in the order in which they have to be made."""
    newest: dict[tuple[str, type, str | None], FleetEvent] = {}
    for event in sorted(batch, key=_order):
        newest[event.node, type(event.data), event.slot] = event
    # Both kinds write to one row, so the older of the two goes first: the trigger would drop it otherwise.
    for event in sorted(newest.values(), key=_order):
        if isinstance(event.data, NodeData | HeartbeatData):
            yield Upsert("meshd_nodes", "node", True, (_node_row(event, event.data),))
    slots = [_slot_row(event, event.data) for event in newest.values() if isinstance(event.data, SlotData)]
    if slots:
        yield Upsert("meshd_slots", "node,slot", True, slots)
    events = list({event.id: _event_row(event) for event in batch}.values())
    if events:
        yield Upsert("meshd_events", "id", False, events)


def encoded(rows: Sequence[Stamp]) -> bytes:
    """A JSON array of `rows`; what the database could not store as text is U+FFFD."""
    try:
        body = msgspec.json.encode(rows)
    except UnicodeEncodeError:  # a lone surrogate
        pass
    else:
        if rb"\u0000" not in body:  # also found in text that spells it, which costs time and nothing else
            return body
    return msgspec.json.encode(_storable(msgspec.to_builtins(rows)))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_STORABLE.sub("�", value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


def _order(event: FleetEvent) -> tuple[str, int]:
    return event.boot_id, event.seq


def _node_row(event: FleetEvent, data: NodeData | HeartbeatData) -> Stamp:
    if isinstance(data, HeartbeatData):
        return HeartbeatRow(
            node=event.node, boot_id=event.boot_id, seq=event.seq, at=event.at, version=data.version,
            uptime_s=data.uptime_s, slot_counts=data.slots, load=data.load,
        )  # fmt: skip
    return NodeRow(
        node=event.node, boot_id=event.boot_id, seq=event.seq, at=event.at,
        state="down" if data.event == "down" else "up", version=data.version, protocol=data.protocol,
        started_at=data.started_at, slot_names=data.slots, urls=data.urls,
    )  # fmt: skip


def _slot_row(event: FleetEvent, data: SlotData) -> SlotRow:
    return SlotRow(
        node=event.node, boot_id=event.boot_id, seq=event.seq, at=event.at, slot=event.slot or "", kind=data.kind,
        labels=data.labels, status=data.status, activity=data.activity.state, activity_since=data.activity.since,
        activity_until=data.activity.until, confidence=data.activity.confidence, evidence=data.activity.evidence,
        dialog=data.dialog, title=data.title, pid=data.pid, restarts=data.restarts, queue=data.queue,
        agent_version=data.agent_version, error=data.error, config=data.config, removed=data.removed,
    )  # fmt: skip


def _event_row(event: FleetEvent) -> EventRow:
    return EventRow(
        node=event.node, boot_id=event.boot_id, seq=event.seq, at=event.at, id=event.id, slot=event.slot,
        type=event.type, version=event.version, data=event.data,
    )  # fmt: skip
