"""The jobs that this node has in hand, on disk: the next daemon goes on with them."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_nats.wire import Job


class Held(Struct, frozen=True):
    """A job from its delivery to its published result."""

    job: Job
    slot: str
    claim: str
    ack: str
    """The subject that acknowledges it."""
    seq: int
    """Its number in the stream."""
    deliveries: int
    since_ms: int


class Ledger:
    """A file for each job, 0600. A file is whole or not there; loss of power is not covered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> list[Held]:
        """Make the folder; what an earlier daemon had in hand. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Held))
            except msgspec.DecodeError:
                path.rename(path.with_suffix(".bad"))
        return found

    def save(self, held: Held) -> None:
        """Raises OSError: then the job must not be begun."""
        path = self._path(held)
        fresh = path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(held))
        fresh.replace(path)

    def forget(self, held: Held) -> None:
        self._path(held).unlink(missing_ok=True)

    def _path(self, held: Held) -> Path:
        return self._folder / f"{held.job.id}.{held.claim}.json"
