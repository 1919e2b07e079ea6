"""Prompts that this node sent to others, on disk: where each went, so that asking again asks the same node.

A dispatch is recorded before anything of it is sent, as receipts are before anything is typed. No text is kept.
"""

import os
import sqlite3
from pathlib import Path

import msgspec

from meshd_core.clock import now_ms
from meshd_core.errors import Overloaded
from meshd_core.types import When

KEEP_MS = 24 * 3600 * 1000
"""As long as the receipts and keys of the nodes that take the prompts."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS dispatches (
    id TEXT PRIMARY KEY, receipt TEXT NOT NULL, principal TEXT NOT NULL, place TEXT NOT NULL, key TEXT,
    created_ms INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON dispatches (principal, place, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_receipt ON dispatches (receipt);
CREATE INDEX IF NOT EXISTS by_age ON dispatches (created_ms);
"""


class Dispatch(msgspec.Struct):
    """One prompt on its way to another node."""

    id: str
    """A ULID: the other node gives its receipt the same one, and it is the key there if the caller gave none."""
    principal: str
    place: str
    """What the caller named: `slot@node`, or the selection that it made."""
    key: str | None
    fingerprint: str
    created_ms: int
    slot: str = ""
    node: str = ""
    when: When = "idle"
    """How it was sent: the same again, or the other node would take it for another request."""
    sent_ms: int = 0
    """When it was last sent; 0: it provably reached nobody."""
    lurks_ms: int = 0
    """When an attempt began that may still arrive after it was given up; 0: none."""
    receipt: str = ""
    """The receipt's id at the other node, once it answered; else what it will be."""
    taken: bool = False
    """Whether the other node answered with a receipt."""

    @property
    def far_key(self) -> str:
        """The Idempotency-Key at the other node."""
        return self.key or self.id


class DispatchStore:
    """All dispatches of the last 24 hours. Calls block for some 20 µs. Raises Overloaded if the disk is full."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        self.forget_old()

    def close(self) -> None:
        self._db.close()

    def save(self, dispatch: Dispatch) -> None:
        """Record `dispatch` as it stands."""
        try:
            self._db.execute(
                "INSERT INTO dispatches VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET receipt = excluded.receipt, body = excluded.body",
                (
                    dispatch.id, dispatch.receipt, dispatch.principal, dispatch.place, dispatch.key,
                    dispatch.created_ms, msgspec.json.encode(dispatch),
                ),
            )  # fmt: skip
        except sqlite3.OperationalError as error:
            raise Overloaded(
                f"the dispatch could not be recorded: {error}", hint="free space where the state directory lies"
            ) from error

    def drop(self, dispatch: Dispatch) -> None:
        """Forget one that provably reached nobody, so that its key is free again."""
        try:
            self._db.execute("DELETE FROM dispatches WHERE id = ?", (dispatch.id,))
        except sqlite3.OperationalError as error:
            raise Overloaded(f"a dispatch could not be dropped: {error}") from error

    def by_key(self, principal: str, place: str, key: str) -> Dispatch | None:
        """What `key` was used for in the last 24 hours."""
        self.forget_old()
        return self._one("principal = ? AND place = ? AND key = ?", principal, place, key)

    def by_receipt(self, receipt: str) -> Dispatch | None:
        return self._one("receipt = ?", receipt)

    def forget_old(self) -> None:
        """Drop what is older than 24 hours."""
        try:
            self._db.execute("DELETE FROM dispatches WHERE created_ms < ?", (now_ms() - KEEP_MS,))
        except sqlite3.OperationalError as error:
            raise Overloaded(f"old dispatches could not be dropped: {error}") from error

    def _one(self, where: str, *values: str | int) -> Dispatch | None:
        query = f"SELECT body FROM dispatches WHERE {where}"  # noqa: S608 - `where` is ours
        row = self._db.execute(query, values).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Dispatch)
