"""The shapes of the wire protocol: what HTTP answers, events carry and clients decode.

Source: docs/protocol.md. Keys are snake_case; times are RFC 3339 strings; durations end in `_s`, sizes in `_bytes`.
Requests forbid unknown keys, answers are read leniently: a client ignores what it doesn't know.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}(?!\n)$"
Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="a slot, node, kind or plugin name")]

Scope = Literal["read", "inject", "approve", "control", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "inject", "approve", "control", "admin")

Status = Literal["stopped", "starting", "running", "stopping", "backoff", "failed"]
ActivityState = Literal["unknown", "onboarding", "idle", "busy", "waiting", "limited", "stuck"]
RestartPolicy = Literal["never", "on-failure", "always"]
Source = Literal["signal", "api", "hook", "title", "screen", "quiet", "input", "lifecycle"]

Stage = Literal[
    "accepted", "writing", "written", "echoed", "entered", "submitted", "completed",
    "failed", "expired", "cancelled", "unknown",
]  # fmt: skip
ENDS: frozenset[Stage] = frozenset({"completed", "failed", "expired", "cancelled", "unknown"})
PROGRESS: tuple[Stage, ...] = ("accepted", "writing", "written", "echoed", "entered", "submitted", "completed")
When = Literal["idle", "now", "steer"]
Until = Literal["accepted", "written", "submitted", "completed"]
HealthStatus = Literal["ok", "draining", "degraded"]


# -- state ---------------------------------------------------------------------------------------------------------


class Evidence(Struct, frozen=True):
    """Why a state is believed: where it was seen, by which rule, and on what text."""

    source: Source
    rule: str
    matched: str = ""


class Activity(Struct, frozen=True):
    """What an agent is doing. No evidence means `unknown`, never `idle`."""

    state: ActivityState
    since: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    until: str | None = None
    """End of the limit, for `limited`, where the screen tells it."""


class DialogOption(Struct, frozen=True):
    id: str
    label: str
    default: bool = False


class Dialog(Struct, frozen=True):
    """A question that an agent has open; `id` changes whenever the screen's question does."""

    id: str
    kind: str
    question: str
    opened_at: str
    command: str | None = None
    options: tuple[DialogOption, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class ExitStatus(Struct, frozen=True):
    """How a process ended: exactly one of `code` and `signal`, or neither if that was lost (`known` false)."""

    at: str
    code: int | None = None
    signal: str | None = None
    known: bool = True


class Size(Struct, frozen=True):
    rows: int
    cols: int


class OutputRange(Struct, frozen=True):
    """What the ring holds: `first_id` is the position just before the oldest event."""

    first_id: str
    last_id: str
    lines: int


class Slot(Struct, frozen=True):
    """One slot as `GET /slots` shows it."""

    name: str
    node: str
    address: str
    kind: str
    labels: dict[str, str]
    status: Status
    activity: Activity
    dialog: Dialog | None
    pid: int | None
    started_at: str | None
    restarts: int
    exit: ExitStatus | None
    agent_version: str | None
    title: str
    size: Size
    queue: int
    output: OutputRange
    error: str | None = None
    """Why the slot can't run (kind not installed, binary missing, ...), with the way out."""


class SlotCounters(Struct, frozen=True):
    bytes_read: int
    bytes_written: int
    lines: int
    gaps: int
    injects: int
    filter_errors: int


class SlotConfig(Struct, frozen=True):
    """A slot's configuration as shown: environment values are withheld."""

    command: list[str] | None
    args: list[str]
    cwd: str
    env: list[str]
    autostart: bool
    restart: RestartPolicy
    filters: list[str]


class SlotDetail(Slot, frozen=True, kw_only=True):
    config: SlotConfig
    counters: SlotCounters
    queued: list[str]
    """Ids of the receipts that wait or are being typed, in order."""
    held: str | None = None
    """Why nothing of the queue is typed, if something forbids it: a draft may stand in the agent's input box."""


class SlotList(Struct, frozen=True):
    slots: list[Slot]


# -- inject --------------------------------------------------------------------------------------------------------

MAX_PROMPT_BYTES = 256 * 1024
MAX_QUEUED = 100


class InjectRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /inject/{slot}`."""

    text: str
    submit: bool = True
    when: When = "idle"
    until: Until = "submitted"
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    expires_s: Annotated[float, Meta(gt=0, le=604800)] = 86400.0


class ReceiptError(Struct, frozen=True):
    code: str
    message: str
    screen: tuple[str, ...] | None = None
    """The rows that were on the screen, as evidence, where the screen was the reason."""


class Receipt(Struct, frozen=True):
    """What became of one prompt. `stages` maps each stage reached to its time."""

    id: str
    slot: str
    node: str
    stage: Stage
    stages: dict[str, str]
    queue_position: int | None
    changes: tuple[str, ...]
    reply: str | None
    error: ReceiptError | None
    capped: bool


# -- output --------------------------------------------------------------------------------------------------------


class Line(Struct, frozen=True):
    id: str
    n: int
    t: str
    text: str


class Gap(Struct, frozen=True):
    """Output that can't be given any more; `lost_lines` is null where their number isn't known."""

    lost_lines: int | None
    lost_bytes: int


class OutputPage(Struct, frozen=True):
    lines: list[Line]
    next: str
    gap: Gap | None = None


class Cursor(Struct, frozen=True):
    row: int
    col: int


class Screen(Struct, frozen=True):
    """What a person would see now: every row of the terminal, trailing spaces removed."""

    rows: list[str]
    cursor: Cursor
    title: str
    size: Size
    alternate: bool


class StateEvent(Struct, frozen=True):
    status: Status
    activity: Activity
    dialog: Dialog | None = None


class EndEvent(Struct, frozen=True):
    exit: ExitStatus
    pid: int | None = None


class DialogEvent(Struct, frozen=True):
    event: Literal["opened", "closed"]
    dialog: Dialog


class ByeEvent(Struct, frozen=True):
    reason: str


EVENT_TYPES = ("line", "state", "inject", "dialog", "gap", "end", "bye")


# -- node, plugins, lifecycle --------------------------------------------------------------------------------------


class Health(Struct, frozen=True):
    status: HealthStatus


class SlotCounts(Struct, frozen=True):
    total: int
    by_status: dict[str, int]
    by_activity: dict[str, int]


class Node(Struct, frozen=True):
    name: str
    boot_id: str
    version: str
    protocol: str
    features: list[str]
    now: str
    started_at: str
    pid: int
    slots: SlotCounts
    load: list[float]


class PluginInfo(Struct, frozen=True):
    """One plugin as `GET /plugins` lists it."""

    name: str
    distribution: str
    version: str
    status: Literal["active", "disabled", "incompatible", "failed", "not_allowed"]
    hooks: list[str]
    provides: list[str] = field(default_factory=list)
    """What it brings, as `kind:claude` or `filter:text`."""
    error: str | None = None
    builtin: bool = False


class PluginList(Struct, frozen=True):
    plugins: list[PluginInfo]


class StartRequest(Struct, frozen=True, forbid_unknown_fields=True):
    resume: bool = False


class StopRequest(Struct, frozen=True, forbid_unknown_fields=True):
    grace_s: Annotated[float, Meta(ge=0, le=300)] | None = None
    """Seconds for each step (polite exit, SIGTERM) before the next; default: the kind's own."""


class RestartRequest(Struct, frozen=True, forbid_unknown_fields=True):
    resume: bool = False
    grace_s: Annotated[float, Meta(ge=0, le=300)] | None = None


class ShutdownRequest(Struct, frozen=True, forbid_unknown_fields=True):
    agents: Literal["stop", "keep"] = "stop"


class ShutdownAnswer(Struct, frozen=True):
    status: Literal["draining"]
    agents: Literal["stop", "keep"]


# -- tokens --------------------------------------------------------------------------------------------------------


class TokenInfo(Struct, frozen=True):
    """A token as it is listed: everything but its secret."""

    kid: str
    scope: Scope
    slots: tuple[str, ...]
    label: str | None
    created: str
    expires: str | None


class NewToken(TokenInfo, frozen=True, kw_only=True):
    """The one answer that holds the credential itself."""

    token: str


class TokenList(Struct, frozen=True):
    tokens: list[TokenInfo]


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /tokens`; `expires` as `30d`, `12h`, `90m`; null: never."""

    scope: Scope
    slots: tuple[str, ...] = ("*",)
    label: str | None = None
    expires: str | None = None


# -- errors --------------------------------------------------------------------------------------------------------


class ErrorBody(Struct, frozen=True):
    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class ErrorAnswer(Struct, frozen=True):
    error: ErrorBody
