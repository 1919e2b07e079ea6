"""Where the streams of the protocol begin. Source: docs/protocol.md, "Stream" of section 3, and section 4."""

from __future__ import annotations  # half the time that importing this takes

from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from meshd_core.client import slot_calls
from meshd_core.client.answers import decode
from meshd_core.client.call import Call, checked, path
from meshd_core.client.connection import Answer
from meshd_core.client.events import Event, EventType, MeshEvent, mesh_typed, typed
from meshd_core.client.resume import SILENCE_S, Start
from meshd_core.types import SlotDetail


def stream(
    name: str,
    *,
    since: str | None = None,
    tail: int | None = None,
    last_event_id: str | None = None,
    events: Iterable[EventType] = (),
    deadline_s: float | None = None,
    silence_s: float = SILENCE_S,
    on_away: Callable[[Exception], None] | None = None,
) -> Start[Event]:
    """The slot's events, resumed by itself after any disconnect, with nothing twice and losses as `gap` events.

    At most one of `since` ("oldest" or an id), `tail` (lines) and `last_event_id`; with none, a snapshot and what
    comes from now on. Ends after `deadline_s`. `on_away` is told each time the connection was lost.
    """
    if sum(cursor is not None for cursor in (since, tail, last_event_id)) > 1:
        raise ValueError("give at most one of since, tail and last_event_id")
    only = ",".join(events)
    return Start(
        target=path("stream", name) + (f"?{urlencode({'events': only})}" if only else ""),
        typed=typed,
        cursor=urlencode({"tail": tail} if tail is not None else {"since": since} if since is not None else {}),
        position=last_event_id,
        before=None if since or last_event_id else _newest(name, tail),
        deadline_s=deadline_s,
        silence_s=silence_s,
        on_away=on_away,
    )


def mesh_stream(
    *,
    local: bool = False,
    deadline_s: float | None = None,
    silence_s: float = SILENCE_S,
    on_away: Callable[[Exception], None] | None = None,
) -> Start[MeshEvent]:
    """States, dialogs and receipts of all nodes' slots, or with `local` of this node's, as they move.

    It has no ids: at its begin and after each disconnect it tells the state of every slot again. What is not among the
    states that follow a "node" event of outcome "ok" is no more.
    """
    return Start(
        target="/mesh/stream" + ("?local=true" if local else ""),
        typed=mesh_typed,
        deadline_s=deadline_s,
        silence_s=silence_s,
        on_away=on_away,
    )


def _newest(name: str, tail: int | None) -> Call[str | None]:
    """Where to resume a stream that is lost before its first event: else what came meanwhile is missed."""
    call = slot_calls.slot(name)

    def read(answer: Answer, address: str) -> str | None:
        held = decode(checked(answer, address).body, SlotDetail, address).output
        return held.last_id if not tail or held.lines == 0 else None

    return Call(call.method, call.target, read, repeatable=True)
