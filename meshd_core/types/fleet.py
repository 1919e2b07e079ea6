"""Fleet sinks as the node shows them."""

from typing import Literal

from msgspec import Struct

SinkStatus = Literal["ok", "retrying", "open", "paused", "failed"]
"""`open`: its breaker is; `paused`: a person must mend something (credential, schema); `failed`: its plugin did."""


class SinkInfo(Struct, frozen=True):
    """One `[sinks.<name>]` at work; counters since the daemon's start, in events."""

    name: str
    plugin: str
    status: SinkStatus
    queued: int
    sent: int
    dropped: int
    """Lost because the ring was full."""
    rejected: int
    """Refused by the receiver for good and set aside."""
    retries: int
    last_sent: str | None = None
    error: str | None = None


class SinkList(Struct, frozen=True):
    sinks: list[SinkInfo]
