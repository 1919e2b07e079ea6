"""Fleet sinks: where a node's events go. Core batches, retries and isolates; a sink only delivers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.contracts.events import FleetEvent
from meshd_core.contracts.secrets import ReadSecret


class SinkContext(Struct, frozen=True):
    """One `[sinks.<name>]` section: what `FleetSink.open` is given."""

    name: str
    """The section's name: two instances of one plugin have different ones."""
    node: str
    boot_id: str
    options: Any
    """An instance of `FleetSink.options_type()`, or None if it has none."""
    state_dir: Path
    """A folder of this instance's own; exists, mode 0700."""
    read_secret: ReadSecret


class SinkRejected(Exception):
    """The receiver refuses some events of the batch for good: trying again can't help.

    Core sends the batch in halves until it knows which events those are, sets them aside and goes on.
    """


class SinkPaused(Exception):
    """A person must mend something first (a credential, the receiver's schema). Core keeps what it has, shows the
    message and tries again seldom. The message must not hold a secret.
    """


class SinkBusy(Exception):
    """Not now: try again after `retry_after_s` (the receiver's own wish), else after core's usual pause."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SinkConnection:
    """One open instance. Core calls `send` for one batch at a time, with a timeout.

    `FleetSink.open`, `send` and `close` run in a thread of the instance's own, on an event loop of its own: code that
    blocks holds up this sink alone. What belongs to the daemon's loop (the hooks' context) must not be used there.
    """

    async def send(self, batch: Sequence[FleetEvent]) -> None:
        """Deliver `batch`, in order. Returning means: delivered. The same batch may come again, with the same ids.

        Raises SinkRejected, SinkPaused, SinkBusy; any other exception means: not delivered, try again later.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of connections and files; called once."""


class FleetSink:
    """Base class of fleet sinks; `name` is what `plugin` of a `[sinks.<instance>]` section refers to."""

    name: str

    def options_type(self) -> type[Struct] | None:
        """The type of the section's other keys, decoded strictly; None: it has none. Keys of type `SecretRef` are
        checked to be readable.
        """
        return None

    def open(self, context: SinkContext) -> SinkConnection:
        """A new instance. Must not connect yet: that is `send`'s business."""
        raise NotImplementedError
