"""The node, its plugins, and the lifecycle of slots and daemon."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from meshd_core.types.slot import Slot
from meshd_core.types.words import HealthStatus


class Health(Struct, frozen=True):
    status: HealthStatus


class SlotCounts(Struct, frozen=True):
    total: int
    by_status: dict[str, int]
    by_activity: dict[str, int]

    @classmethod
    def of(cls, slots: Sequence[Slot]) -> "SlotCounts":
        by_status = Counter[str](slot.status for slot in slots)
        by_activity = Counter[str](slot.activity.state for slot in slots)
        return cls(len(slots), dict(by_status), dict(by_activity))


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
