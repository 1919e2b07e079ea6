"""Acting on a slot beside prompts: keys, dialogs, size, tickets; and reloading the configuration."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field


class KeysRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /keys/{slot}`: names of keys, or raw bytes in base64; exactly one of the two."""

    keys: list[str] | None = None
    """As `Escape`, `C-c` (a to z and `@[\\]^_`), `Enter`, `Up`; any other single character stands for itself."""
    bytes_b64: str | None = None


class KeysAnswer(Struct, frozen=True):
    slot: str
    node: str
    bytes_written: int


class InterruptRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /interrupt/{slot}`: nothing yet."""


class AnswerRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /answer/{slot}`; `choice` is the id of an option that the dialog offers, or `deny`."""

    dialog_id: str
    choice: str


class AnswerResult(Struct, frozen=True):
    """What became of an answer: `closed` tells whether the dialog went away within the time that was waited."""

    slot: str
    node: str
    dialog_id: str
    choice: str
    closed: bool


class ResizeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    rows: Annotated[int, Meta(ge=2, le=500)]
    cols: Annotated[int, Meta(ge=10, le=1000)]


class TicketRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /tickets`: the exact path and query that the ticket will be used for."""

    path: str


class Ticket(Struct, frozen=True):
    """A credential for one WebSocket: single use, 30 s, for this path and query alone."""

    ticket: str
    path: str
    expires: str


class ReloadRequest(Struct, frozen=True, forbid_unknown_fields=True):
    restart: Literal["none", "changed"] = "none"
    """`changed`: slots that became stale are restarted at once."""
    stop_removed: bool = False
    """Whether slots that the new file doesn't have are stopped; without it a live one refuses the reload."""


class SlotChange(Struct, frozen=True):
    """What a reload did to one slot, and which of its settings differ."""

    slot: str
    change: Literal["added", "removed", "updated", "stale", "restarted"]
    settings: list[str] = field(default_factory=list)


class NodeChange(Struct, frozen=True):
    """What a reload did to one node of the table."""

    node: str
    change: Literal["added", "removed", "updated"]


class ReloadReport(Struct, frozen=True):
    """What a reload did. `needs_restart` names settings that only a restart of the daemon applies."""

    slots: list[SlotChange]
    needs_restart: list[str]
    warnings: list[str]
    nodes: list[NodeChange] = field(default_factory=list)
