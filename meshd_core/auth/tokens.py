"""Bearer tokens: `meshd_<kid>_<secret>`, stored as a SHA-256 with scope, slots and expiry. Source: protocol section 2.

`tokens.json` (0600) is replaced atomically under a lock file, so that a daemon and a command may both write it; a
change made by another process is seen within `CHECK_EVERY_S`, and at once when a token is not known.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.auth.reach import EVERYTHING, GLOB
from meshd_core.clock import monotonic, now_ms, rfc3339
from meshd_core.errors import InvalidField, NotFound
from meshd_core.types import Scope

CHECK_EVERY_S = 1.0
MAX_TOKENS = 1000
MAX_LABEL = 200

_FORM = re.compile(rb"meshd_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NO_DIGEST = bytes(32)


class StoredToken(Struct, frozen=True, forbid_unknown_fields=True):
    """One token as it lies on disk; the secret itself is nowhere."""

    kid: str
    sha256: str
    scope: Scope
    slots: tuple[str, ...]
    label: str | None
    created: str
    expires: str | None
    expires_ms: int | None = None


class TokenFile(Struct, frozen=True, forbid_unknown_fields=True):
    tokens: list[StoredToken]
    version: int = 1


class TokensUnreadable(Exception):
    """`tokens.json` can't be read or isn't what it should be. Until it is mended, no token is accepted."""


class TokenStore:
    """The tokens of one state directory. All methods are quick; writing takes one small file and an fsync.

    `clock_ms` is wall time in milliseconds: expiry is a promise about the calendar.
    """

    def __init__(self, state_dir: Path, clock_ms: Callable[[], int] = now_ms) -> None:
        self._path = state_dir / "tokens.json"
        self._lock_path = state_dir / "tokens.lock"
        self._admin_path = state_dir / "admin.token"
        self._clock_ms = clock_ms
        self._seen: tuple[int, int, int] | None = None
        self._checked_at = -CHECK_EVERY_S
        self._by_kid: dict[str, tuple[bytes, StoredToken]] = {}

    @property
    def admin_path(self) -> Path:
        """Where the first run's admin token lies."""
        return self._admin_path

    def verify(self, credential: str) -> StoredToken | None:
        """The token that `credential` is, or None: wrong form, unknown, expired. Raises TokensUnreadable.

        Bytes are compared, in constant time: `compare_digest` raises on a str that is not ASCII.
        """
        found = _FORM.fullmatch(credential.encode("utf-8", "surrogatepass"))
        if found is None:
            return None
        kid = found[1].decode()
        self._refresh(force=kid not in self._by_kid)
        expected, token = self._by_kid.get(kid, (_NO_DIGEST, None))
        same = hmac.compare_digest(hashlib.sha256(found[0]).digest(), expected)
        if token is None or not same:
            return None
        expired = token.expires_ms is not None and token.expires_ms <= self._clock_ms()
        return None if expired else token

    def all(self) -> list[StoredToken]:
        """All tokens, oldest first, expired ones too. Raises TokensUnreadable."""
        self._refresh(force=True)
        return [token for _, token in self._by_kid.values()]

    def create(
        self, scope: Scope, slots: Sequence[str] = ("*",), label: str | None = None, expires: str | None = None
    ) -> tuple[str, StoredToken]:
        """A new token: the credential, never to be seen again, and what is stored. `expires`: `30d`, `12h`, `90m`.

        Raises InvalidField, TokensUnreadable, OSError (nothing was created then).
        """
        _check(slots, label)
        now = self._clock_ms()
        expires_ms = None if expires is None else now + parse_expiry(expires)
        with self._locked():
            tokens = self._read()
            if len(tokens) >= MAX_TOKENS:
                raise InvalidField(f"there are {MAX_TOKENS} tokens already", hint="revoke some first")
            kid = secrets.token_hex(4)
            while any(token.kid == kid for token in tokens):
                kid = secrets.token_hex(4)
            credential = f"meshd_{kid}_{secrets.token_urlsafe(32)}"
            token = StoredToken(
                kid=kid,
                sha256=hashlib.sha256(credential.encode()).hexdigest(),
                scope=scope,
                slots=tuple(slots),
                label=label,
                created=rfc3339(now),
                expires=None if expires_ms is None else rfc3339(expires_ms),
                expires_ms=expires_ms,
            )
            self._write([*tokens, token])
        return credential, token

    def revoke(self, kid: str) -> StoredToken:
        """End the token `kid` at once. Raises NotFound, TokensUnreadable, OSError."""
        with self._locked():
            tokens = self._read()
            gone = next((token for token in tokens if token.kid == kid), None)
            if gone is None:
                raise NotFound("there is no token with this id", hint="'meshd token list' shows them")
            self._write([token for token in tokens if token.kid != kid])
        return gone

    def ensure_admin(self) -> Path:
        """On the first run (no tokens at all) create an admin token, readable by the owner alone; return its path.

        A file that was deleted is not made again while tokens exist: the socket still makes its owner admin.
        """
        if not self._path.exists():
            credential, _ = self.create("admin", (EVERYTHING,), label="first run")
            _replace(self._admin_path, credential.encode() + b"\n")
        return self._admin_path

    def _refresh(self, force: bool) -> None:
        now = monotonic()
        if not force and now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._by_kid = None, {}
            return
        except OSError as error:
            raise TokensUnreadable(f"{self._path}: {error.strerror}") from error
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if mark == self._seen:
            return
        try:
            # Put in place as a whole: a token that is still there is never unknown for a moment.
            self._by_kid = {token.kid: (bytes.fromhex(token.sha256), token) for token in self._read()}
            self._seen = mark
        except (TokensUnreadable, ValueError) as error:
            self._by_kid, self._seen = {}, None
            raise TokensUnreadable(str(error)) from error

    def _read(self) -> list[StoredToken]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=TokenFile).tokens
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TokensUnreadable(f"{self._path}: {error}") from error

    def _write(self, tokens: list[StoredToken]) -> None:
        _replace(self._path, msgspec.json.format(msgspec.json.encode(TokenFile(tokens=tokens))) + b"\n")
        self._refresh(force=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process writes at a time; held for one small write, so waiting for it is short."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def parse_expiry(text: str) -> int:
    """`30d`, `12h`, `90m`, `45s` as milliseconds. Raises InvalidField."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if found is None:
        raise InvalidField("'expires' is not a duration", hint="write it as 30d, 12h or 90m", field="expires")
    duration_ms = int(found[1]) * _UNIT_MS[found[2]]
    if duration_ms > 36_525 * _UNIT_MS["d"]:
        raise InvalidField("'expires' is more than 100 years away", hint="leave it out for never", field="expires")
    return duration_ms


def _check(slots: Sequence[str], label: str | None) -> None:
    if not slots:
        raise InvalidField("'slots' is empty: the token would reach nothing", field="slots")
    for glob in slots:
        if GLOB.fullmatch(glob) is None:
            hint = "write it as 'claude-*' (this node's), 'claude-1@mac2' or '*@*'"
            raise InvalidField("'slots' has something that is not a slot glob", hint=hint, field="slots")
    if label is not None and (len(label) > MAX_LABEL or not label.isprintable()):
        raise InvalidField(f"'label' must be printable and at most {MAX_LABEL} characters", field="label")


def _replace(path: Path, data: bytes) -> None:
    """Write `data` as `path`, 0600, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
