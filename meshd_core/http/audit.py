"""The audit log: one JSON line for every write that was let through, before it is carried out. Mode 0600.

A full disk never fails a request: the line is lost, counted and warned of once, and the log goes on when it can.
"""

import hashlib
import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.clock import rfc3339
from meshd_core.contracts.auth import Principal
from meshd_core.http.peer import Peer

ROTATE_BYTES = 64 * 1024 * 1024

log = logging.getLogger(__name__)


class AuditLine(Struct, frozen=True, omit_defaults=True):
    """`bytes` and `sha256` are those of the prompt's text, or of the body where there is no prompt."""

    time: str
    principal: str
    provider: str
    id: str
    peer: str
    action: str
    slot: str | None
    request_id: str
    bytes: int
    sha256: str | None = None
    claimed: str | None = None
    """For whom the node that asked says to ask; judged by nobody."""
    text: str | None = None


class AuditLog:
    """Appends to `<state>/audit.jsonl`; past 64 MiB the file becomes `audit.jsonl.1`, replacing an older one."""

    def __init__(self, path: Path, keep_text: bool = False) -> None:
        self._path = path
        self.keep_text = keep_text
        self._fd: int | None = None
        self._torn = False
        self.lost = 0

    def record(
        self, principal: Principal, peer: Peer, action: str, slot: str | None, request_id: str, content: bytes,
        claimed: str | None = None,
    ) -> None:  # fmt: skip
        """Write one line. Never raises for want of disk or permission."""
        digest = hashlib.sha256(content).hexdigest()
        text = content.decode("utf-8", "replace") if self.keep_text else None
        self._write(_line(principal, peer, action, slot, request_id, len(content), digest, claimed, text))

    def record_size(
        self, principal: Principal, peer: Peer, action: str, slot: str | None, request_id: str, size: int
    ) -> None:
        """The same for what was typed key by key: neither the text nor a digest, which could be guessed for a word."""
        self._write(_line(principal, peer, action, slot, request_id, size))

    def _write(self, line: AuditLine) -> None:
        data = msgspec.json.encode(line) + b"\n"
        try:
            self._append(b"\n" + data if self._torn else data)
        except OSError as error:
            if self.lost == 0:
                log.warning("the audit log can't be written", extra={"path": str(self._path), "reason": error.strerror})
            self.lost += 1
            self.close()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o600)
            os.fchmod(self._fd, 0o600)
        written = os.write(self._fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(28, "no space left: the line is cut off")
        if os.fstat(self._fd).st_size > ROTATE_BYTES:
            self.close()
            os.replace(self._path, self._path.with_name(self._path.name + ".1"))


def _line(
    principal: Principal, peer: Peer, action: str, slot: str | None, request_id: str, size: int,
    digest: str | None = None, claimed: str | None = None, text: str | None = None,
) -> AuditLine:  # fmt: skip
    return AuditLine(
        time=rfc3339(), principal=principal.subject, provider=principal.provider,
        id=principal.id or principal.subject, peer=str(peer), action=action, slot=slot, request_id=request_id,
        bytes=size, sha256=digest, claimed=claimed, text=text,
    )  # fmt: skip
