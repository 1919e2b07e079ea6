"""Names, scopes and the words that states, stages and requests are made of."""

from typing import Annotated, Literal

from msgspec import Meta

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
    "failed", "expired", "cancelled", "unknown", "in_doubt",
]  # fmt: skip
# `in_doubt` is no end: only an entry node says it, while the node that has the receipt is away.
ENDS: frozenset[Stage] = frozenset({"completed", "failed", "expired", "cancelled", "unknown"})
PROGRESS: tuple[Stage, ...] = ("accepted", "writing", "written", "echoed", "entered", "submitted", "completed")
When = Literal["idle", "now", "steer"]
Until = Literal["accepted", "written", "submitted", "completed"]
HealthStatus = Literal["ok", "draining", "degraded"]
ConfigState = Literal["live", "stale", "removed"]
RawSurfaces = Literal["auto", "allow"]
SlotApi = Literal["none", "read", "inject"]
