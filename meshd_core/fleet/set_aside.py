"""Events that a receiver refuses for good: kept in a file for people, so that they don't hold up the others."""

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.clock import rfc3339
from meshd_core.contracts.events import FleetEvent

MAX_BYTES = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class _Line(Struct, frozen=True):
    at: str
    reason: str
    event: FleetEvent


class SetAside:
    """Appends to `rejected.jsonl` (0600); past 4 MiB the file becomes `rejected.jsonl.1`, replacing an older one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rejected.jsonl"
        self.count = 0

    def add(self, sink: str, event: FleetEvent, reason: str) -> None:
        """Keep `event`; the log names its id. A full disk loses the line, never the count."""
        self.count += 1
        facts = {"sink": sink, "event": event.id, "seq": event.seq, "type": event.type, "reason": reason}
        log.warning("an event was refused for good", extra=facts)
        try:
            self._append(msgspec.json.encode(_Line(rfc3339(), reason, event)) + b"\n")
        except OSError as error:
            log.warning("a refused event could not be kept", extra={"sink": sink, "reason": error.strerror})

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        if self._path.exists() and self._path.stat().st_size + len(line) > MAX_BYTES:
            os.replace(self._path, self._path.with_name(self._path.name + ".1"))
        fd = os.open(self._path, flags, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
