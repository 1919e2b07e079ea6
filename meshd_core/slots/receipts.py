"""Receipts on disk: what became of each prompt, whatever becomes of the daemon.

SQLite in WAL mode without fsync: a commit is in the kernel before the call returns, so it survives the death of the
process; loss of power is not covered (docs/protocol.md, section 3). A stage is recorded before the act that it names,
so that after a crash a prompt can be in doubt, but never be typed twice.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from meshd_core.clock import now_ms, rfc3339
from meshd_core.errors import Overloaded
from meshd_core.types import ENDS, PROGRESS, InjectRequest, Receipt, ReceiptError, Stage, Until, When

Draft = Literal["paste", "draft", "person"]
"""An open paste, a text in the input box, or one that only a person can remove."""

KEEP_MS = 24 * 3600 * 1000
"""How long an ended receipt and its Idempotency-Key are kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS receipts (
    id TEXT PRIMARY KEY, slot TEXT NOT NULL, ended INTEGER NOT NULL, created_ms INTEGER NOT NULL,
    principal TEXT NOT NULL, idempotency_key TEXT, fingerprint TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON receipts (principal, slot, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_age ON receipts (ended, created_ms);
"""


class Entry(msgspec.Struct):
    """One prompt on its way: the receipt's facts, and what is needed to go on after a crash."""

    id: str
    slot: str
    node: str
    text: str
    """What is typed, sanitised; emptied at the end and when capped: it isn't kept longer than it is needed."""
    submit: bool
    when: When
    created_ms: int
    expires_ms: int
    changes: tuple[str, ...]
    principal: str
    key: str | None
    fingerprint: str
    stage: Stage = "accepted"
    stages: dict[str, str] = msgspec.field(default_factory=dict)
    reply: str | None = None
    error: ReceiptError | None = None
    capped: bool = False
    entered_ms: int = 0
    raw_mark: int = 0
    """Raw journal offset when the first byte was written, later when Enter was: evidence counts only past it."""
    line_mark: int = 0
    """Number of the newest line when Enter was pressed: the reply's lines come after it."""

    joined: bool = False
    """Whether Enter was pressed while the agent worked on something else: its signals are no proof then."""
    draft: Draft | None = None
    """What of it may still stand in the agent's input box; its slot's queue holds until that is gone."""

    @property
    def ended(self) -> bool:
        return self.stage in ENDS

    @property
    def settled(self) -> bool:
        """Nothing more will happen: it ended, or its kind can prove no more, and no draft of it is left."""
        return (self.ended or self.capped) and self.draft is None

    @property
    def in_flight(self) -> bool:
        """Typed at least in part, without proof yet that the agent took it."""
        return self.stage in ("writing", "written", "echoed", "entered") and not self.capped

    def view(self, position: int | None = None) -> Receipt:
        return Receipt(
            id=self.id, slot=self.slot, node=self.node, stage=self.stage, stages=dict(self.stages),
            queue_position=position, changes=self.changes, reply=self.reply, error=self.error, capped=self.capped,
        )  # fmt: skip

    def cap(self) -> None:
        """No later stage than the next can be proven."""
        self.capped, self.text = True, ""

    def move(self, stage: Stage) -> None:
        self.stage = stage
        self.stages[stage] = rfc3339()


def reached(receipt: Receipt, until: Until) -> bool:
    """Whether nothing is left to wait for: `until` was reached, the receipt ended, or its kind can prove no more."""
    if receipt.stage in ENDS or receipt.capped:
        return True
    return receipt.stage in PROGRESS and PROGRESS.index(receipt.stage) >= PROGRESS.index(until)


def fingerprint(request: InjectRequest) -> str:
    """What must be equal for an Idempotency-Key to mean the same request (docs/protocol.md, section 3)."""
    body = msgspec.json.encode((request.text, request.submit, request.when))
    return hashlib.sha256(body).hexdigest()


def exit_text(slot: str) -> str:
    """What a receipt says when its agent ended before the prompt was done with."""
    return f"the agent of {slot} exited at {rfc3339()}"


class ReceiptStore:
    """All receipts of the node. Calls block for some 20 µs; used on the event loop.

    Raises `Overloaded` if the disk is full: then nothing was recorded, and nothing may be typed.
    """

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def save(self, entry: Entry) -> None:
        """Record `entry` as it stands, in one transaction."""
        try:
            self._db.execute(
                "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, body = excluded.body",
                (
                    entry.id, entry.slot, entry.settled, entry.created_ms, entry.principal, entry.key,
                    entry.fingerprint, msgspec.json.encode(entry),
                ),
            )  # fmt: skip
        except sqlite3.OperationalError as error:
            raise Overloaded(
                f"the receipt could not be recorded: {error}", hint="free space where the state directory lies"
            ) from error

    def get(self, receipt_id: str) -> Entry | None:
        row = self._db.execute("SELECT body FROM receipts WHERE id = ?", (receipt_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Entry)

    def by_key(self, principal: str, slot: str, key: str) -> Entry | None:
        """The receipt that `key` was used for in the last 24 hours."""
        row = self._db.execute(
            "SELECT body FROM receipts WHERE principal = ? AND slot = ? AND idempotency_key = ?", (principal, slot, key)
        ).fetchone()
        if row is None:
            return None
        entry = msgspec.json.decode(row[0], type=Entry)
        if entry.settled and entry.created_ms < now_ms() - KEEP_MS:
            self._db.execute("UPDATE receipts SET idempotency_key = NULL WHERE id = ?", (entry.id,))
            return None
        return entry

    def open_entries(self, slot: str) -> Iterator[Entry]:
        """The slot's receipts that are not settled, oldest first."""
        rows = self._db.execute("SELECT body FROM receipts WHERE slot = ? AND ended = 0 ORDER BY rowid", (slot,))
        for row in rows.fetchall():
            yield msgspec.json.decode(row[0], type=Entry)

    def forget_old(self) -> None:
        """Drop receipts that ended, and are older than `KEEP_MS`."""
        try:
            self._db.execute("DELETE FROM receipts WHERE ended = 1 AND created_ms < ?", (now_ms() - KEEP_MS,))
        except sqlite3.OperationalError as error:
            raise Overloaded(f"old receipts could not be dropped: {error}") from error
