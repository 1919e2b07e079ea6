"""The mesh: the node table, slots of all nodes, dispatch to a selection."""

from typing import Literal

from msgspec import Struct, field

from meshd_core.types.inject import InjectRequest, Receipt, ReceiptError
from meshd_core.types.slot import Activity, Dialog, Slot
from meshd_core.types.words import ConfigState, Stage, Status, When


class PeerInfo(Struct, frozen=True):
    """One node of the table as this node sees it; times as of the last probe that worked."""

    node: str
    url: str
    reachable: bool
    rtt_ms: float | None = None
    skew_s: float | None = None
    """How far its clock is ahead of ours, half the round trip allowed for."""
    last_seen: str | None = None
    age_ms: int | None = None
    """Since `last_seen`; null: never seen."""
    version: str | None = None
    boot_id: str | None = None
    features: list[str] = field(default_factory=list)
    error: str | None = None
    """Why it can't be used now, for people: unreachable, another name, no meshd, wrong token."""
    self: bool = False
    """Whether this is the answering node itself."""


class NodeList(Struct, frozen=True):
    nodes: list[PeerInfo]


Outcome = Literal["ok", "stale", "unreachable", "refused", "garbage", "wrong_name"]


class NodeOutcome(Struct, frozen=True):
    """Where the slots of one node come from: just asked (`ok`), its last known state (`stale`), or not had, and why."""

    node: str
    outcome: Outcome
    age_ms: int | None = None
    error: str | None = None


class MeshSlots(Struct, frozen=True):
    """Slots of all nodes, partial by design: `nodes` says what is missing or old."""

    slots: list[Slot]
    nodes: list[NodeOutcome]


class MeshState(Struct, frozen=True):
    """A `state` event of `GET /mesh/stream`: a slot, at the stream's begin and after each change."""

    address: str
    at: str
    kind: str
    labels: dict[str, str]
    status: Status
    activity: Activity
    dialog: Dialog | None
    title: str
    queue: int
    error: str | None
    config: ConfigState = "live"
    removed: bool = False
    """The slot is no more."""


class MeshDialog(Struct, frozen=True):
    """A `dialog` event of `GET /mesh/stream`."""

    address: str
    at: str
    event: Literal["opened", "closed"]
    dialog: Dialog


class MeshInject(Struct, frozen=True):
    """An `inject` event of `GET /mesh/stream`: a receipt moved; its texts are in the receipt alone."""

    address: str
    at: str
    receipt: str
    stage: Stage
    stages: dict[str, str]
    queue_position: int | None
    capped: bool
    error: ReceiptError | None = None


class Select(Struct, frozen=True, forbid_unknown_fields=True):
    """Which slots: all that match every condition given."""

    kind: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    node: str | None = None


class MeshInjectRequest(InjectRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /mesh/inject`: a prompt, and the slots of which one may take it."""

    select: Select = field(default_factory=Select)
    when: When = "now"
    """`now`: an idle slot or none; `idle`: if none is idle, it is queued."""


class BroadcastRequest(InjectRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /mesh/broadcast`: a prompt, and the slots that all get it."""

    select: Select = field(default_factory=Select)


class BroadcastFailure(Struct, frozen=True):
    """A match that got no prompt, or whose fate isn't known."""

    address: str
    code: str
    message: str


class BroadcastAnswer(Struct, frozen=True):
    receipts: list[Receipt]
    failures: list[BroadcastFailure]
    nodes: list[NodeOutcome]
