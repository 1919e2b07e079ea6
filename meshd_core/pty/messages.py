"""What the daemon and the keeper say to each other.

A connection begins with `Hello`, answered by `Welcome` or `Refused`; both must stay readable by every version. Then
each request has an `id` and exactly one answer with the same `id`, in order; `Exited` comes by itself. Masters travel
as descriptors that belong to the frame (`frames`). A backlog's bytes follow its `Attached` as data frames.
"""

from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from meshd_core.pty.errors import SpawnReason

RefusedReason = Literal["protocol", "busy", "order"]

PROTOCOL = 1
"""Raised by every change that an older side would misread. Keepers outlive upgrades of the daemon."""

BACKLOG_BOUND_BYTES = 8 * 1024 * 1024


class SpawnSpec(Struct, frozen=True):
    """How to start one agent. `env` is the whole environment; the keeper adds only MESHD_RUN and MESHD_SLOT."""

    slot: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    rows: int
    cols: int
    meta: dict[str, str]


class ChildInfo(Struct, frozen=True):
    """One run of an agent, alive or ended. Once ended, one of `code` and `signal` is set unless the status was lost."""

    run: str
    """Unique id of the run, a ULID."""
    slot: str
    pid: int
    """Process id, and the id of its session and first process group."""
    started_at_ms: int
    meta: dict[str, str]
    exited_at_ms: int | None = None
    code: int | None = None
    signal: int | None = None
    status_known: bool = True
    """False if another keeper spawned it and died: how it ended, or will end, can't be known."""


class Backlog(Struct, frozen=True):
    """What the agent printed while no daemon read, after `lost_bytes` that the bound made the keeper drop.

    The same `gen` again means: the same bytes at the same place, with more at the end. `start` is the position of
    `data`'s first byte among all bytes that the keeper ever drained of this run; it tells more than `gen`, since it
    holds when the oldest bytes were dropped as well: whoever stored up to position p skips `max(0, p - start)` bytes.
    """

    gen: int
    data: bytes
    lost_bytes: int
    start: int


# -- from the daemon -----------------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, tag_field="op", tag="hello"):
    protocol: int
    pid: int


class Request(Struct, frozen=True, tag_field="op"):
    id: int


class ListChildren(Request, frozen=True, tag="children"):
    pass


class Spawn(Request, frozen=True, tag="spawn"):
    spec: SpawnSpec


class OfRun(Request, frozen=True):
    """A request about one run."""

    run: str


class Attach(OfRun, frozen=True, tag="attach"):
    pass


class Acknowledge(OfRun, frozen=True, tag="acknowledge"):
    gen: int


class Kill(OfRun, frozen=True, tag="kill"):
    sig: int


class Sweep(OfRun, frozen=True, tag="sweep"):
    sig: int


class Processes(OfRun, frozen=True, tag="processes"):
    pass


class Forget(OfRun, frozen=True, tag="forget"):
    pass


class Take(Request, frozen=True, tag="take"):
    """Comes with one descriptor: the master that the daemon holds."""

    child: ChildInfo


class Shutdown(Request, frozen=True, tag="shutdown"):
    force: bool


Asked = ListChildren | Spawn | Attach | Acknowledge | Kill | Sweep | Processes | Forget | Take | Shutdown
Inbound = Hello | Asked

# -- from the keeper -----------------------------------------------------------------------------------------------


class Welcome(Struct, frozen=True, tag_field="op", tag="welcome"):
    protocol: int
    pid: int


class Refused(Struct, frozen=True, tag_field="op", tag="refused"):
    """The connection is closed after this."""

    reason: RefusedReason
    message: str
    protocol: int
    pid: int


class Answer(Struct, frozen=True, tag_field="op"):
    id: int


class Done(Answer, frozen=True, tag="done"):
    pass


class Failed(Answer, frozen=True, tag="failed"):
    reason: Literal["unknown_run", "busy"]
    message: str


class NotSpawned(Answer, frozen=True, tag="not_spawned"):
    reason: SpawnReason
    message: str


class Children(Answer, frozen=True, tag="children"):
    children: list[ChildInfo]


class Spawned(Answer, frozen=True, tag="spawned"):
    """Comes with one descriptor."""

    child: ChildInfo


class Attached(Answer, frozen=True, tag="attached"):
    """Comes with one descriptor if `open`; `size_bytes` of data frames follow."""

    gen: int
    lost_bytes: int
    start: int
    size_bytes: int
    open: bool


class Killed(Answer, frozen=True, tag="killed"):
    sent: bool


class Swept(Answer, frozen=True, tag="swept"):
    found: int


class Pids(Answer, frozen=True, tag="pids"):
    pids: list[int]


class Exited(Struct, frozen=True, tag_field="op", tag="exited"):
    child: ChildInfo


Outbound = (
    Welcome | Refused | Done | Failed | NotSpawned | Children | Spawned | Attached | Killed | Swept | Pids | Exited
)  # fmt: skip


def inbound_decoder() -> "Decoder[Inbound]":
    """The keeper's decoder; raises msgspec.DecodeError (ValidationError is one)."""
    return Decoder(Inbound)


def outbound_decoder() -> "Decoder[Outbound]":
    """The daemon's decoder; raises msgspec.DecodeError (ValidationError is one)."""
    return Decoder(Outbound)


def encoder() -> Encoder:
    """The encoder of both sides. Raises UnicodeEncodeError on text that is not valid Unicode."""
    return Encoder()
