"""The events of a slot's stream and of all nodes' stream, typed. Source: docs/protocol.md, sections 3 and 4."""

from collections.abc import Callable
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from meshd_core.client.answers import BadAnswer
from meshd_core.client.sse import RawEvent
from meshd_core.types import (
    ByeEvent,
    DialogEvent,
    EndEvent,
    Gap,
    Line,
    MeshDialog,
    MeshInject,
    MeshState,
    NodeOutcome,
    Receipt,
    StateEvent,
)

EventType = Literal["line", "state", "inject", "dialog", "gap", "end", "bye"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
EventData = Line | StateEvent | Receipt | DialogEvent | Gap | EndEvent | ByeEvent


class Event(Struct, frozen=True):
    """One event: `data` is a `Line` for "line", a `Receipt` for "inject", a `Gap` for "gap", and so on."""

    type: EventType
    data: EventData
    id: str | None = None
    """The position to resume after; None for snapshots and `bye`."""


MeshEventType = Literal["node", "state", "dialog", "inject", "bye"]
MeshEventData = NodeOutcome | MeshState | MeshDialog | MeshInject | ByeEvent


class MeshEvent(Struct, frozen=True):
    """One event of all nodes' stream: `data` is a `MeshState` for "state", a `NodeOutcome` for "node", and so on."""

    type: MeshEventType
    data: MeshEventData


class _LineData(Struct, frozen=True):
    n: int
    t: str
    text: str


def typed(raw: RawEvent, address: str) -> Event | None:
    """`raw` as an event; None for a type that this client doesn't know. Raises `BadAnswer` for data that don't fit."""
    try:
        if raw.type == "line":
            line = msgspec.json.decode(raw.data, type=_LineData)
            return Event("line", Line(id=raw.id or "", n=line.n, t=line.t, text=line.text), raw.id)
        decode = _DECODERS.get(raw.type)
        return None if decode is None else decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"{address} sent a {raw.type!r} event that can't be read: {error}") from error


def mesh_typed(raw: RawEvent, address: str) -> MeshEvent | None:
    """As `typed`, for an event of the stream of all nodes."""
    shape = _MESH_SHAPES.get(raw.type)
    if shape is None:
        return None
    kind, data = shape
    try:
        return MeshEvent(kind, msgspec.json.decode(raw.data, type=data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"{address} sent a {raw.type!r} event that can't be read: {error}") from error


def _decoder(kind: EventType, shape: type[EventData]) -> Callable[[RawEvent], Event]:
    return lambda raw: Event(kind, msgspec.json.decode(raw.data, type=shape), raw.id)


_DECODERS: dict[str, Callable[[RawEvent], Event]] = {
    "state": _decoder("state", StateEvent),
    "inject": _decoder("inject", Receipt),
    "dialog": _decoder("dialog", DialogEvent),
    "gap": _decoder("gap", Gap),
    "end": _decoder("end", EndEvent),
    "bye": _decoder("bye", ByeEvent),
}

_MESH_SHAPES: dict[str, tuple[MeshEventType, type[MeshEventData]]] = {
    "node": ("node", NodeOutcome),
    "state": ("state", MeshState),
    "dialog": ("dialog", MeshDialog),
    "inject": ("inject", MeshInject),
    "bye": ("bye", ByeEvent),
}
