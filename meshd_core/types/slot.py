"""A slot: its state with evidence, an open dialog, its configuration and counters."""

from msgspec import Struct

from meshd_core.types.explain import Explanation
from meshd_core.types.words import ActivityState, ConfigState, RestartPolicy, SlotApi, Source, Status


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
    advice: str | None = None
    """What a person must do about it, where that is more than to choose an option."""


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
    config: ConfigState = "live"
    """`stale`: the file says something else than what runs; `removed`: the file has this slot no more."""


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
    api: SlotApi = "none"
    resume: bool = False


class SlotDetail(Slot, frozen=True, kw_only=True):
    settings: SlotConfig
    counters: SlotCounters
    queued: list[str]
    """Ids of the receipts that wait or are being typed, in order."""
    held: str | None = None
    """Why nothing of the queue is typed, if something forbids it: a draft stands or may stand in the agent's input box,
    the box is not seen, or a person is typing."""
    explain: Explanation | None = None
    """Only where it is asked for."""


class SlotList(Struct, frozen=True):
    slots: list[Slot]
