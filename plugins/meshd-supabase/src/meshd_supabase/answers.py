"""What a PostgREST's answer means for a batch: PostgreSQL's or PostgREST's own code first, then the status.

Measured with @supabase/lite 0.10.0; hosted PostgREST differs for a CHECK (400 23514 instead of 500) and for a key that
is twice in one request (500 21000 instead of 400), which is why the code comes first.
"""

import time
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

from meshd_core.api import SinkBusy, SinkPaused, SinkRejected

MAX_SHOWN_CHARS = 300
MAX_RETRY_AFTER_S = 3600.0

_CREDENTIAL = "mint a new JWT for this node (meshd supabase jwt) and put it where `token` points"
_NOT_ALLOWED = (
    "row security refuses the rows: is the JWT's claim meshd_node this node's name, its role `authenticated`?"
)
_SCHEMA = "apply contrib/supabase to the database"
_ADDRESS = "is `url` the project's own, and `rest_path` right?"

_BY_CODE: tuple[tuple[str, type[Exception], str], ...] = (
    ("PGRST30", SinkPaused, _CREDENTIAL),
    ("PGRST2", SinkPaused, _SCHEMA),  # no such table, column or relation
    ("PGRST106", SinkPaused, "the API does not expose this schema"),
    ("PGRST102", SinkRejected, ""),  # a body that is not what it should be
    ("42501", SinkPaused, _NOT_ALLOWED),
    ("42", SinkPaused, _SCHEMA),  # no such table, column, constraint
    ("21", SinkRejected, ""),  # a key twice in one request
    ("22", SinkRejected, ""),  # a value that doesn't fit
    ("23", SinkRejected, ""),  # a constraint
    ("P0", SinkRejected, ""),  # a trigger of the site's own
    ("25006", SinkBusy, ""),  # read only: the disk is full, or it is a standby
)
"""By the beginning of the code; the first that fits counts."""


class ErrorBody(Struct, frozen=True):
    """The body of PostgREST's errors; gateways in front of it have `message` at best."""

    code: str | None = None
    message: str | None = None


def judge(status: int, retry_after: str | None, body: bytes, place: str, secrets: tuple[str, ...]) -> Exception:
    """The exception that an answer that is no success stands for. `secrets` never get into its message."""
    error = _decode(body)
    code = error.code or ""
    said = _shown(f"{code}: {error.message}" if code else error.message or "", secrets)
    told = f"{place} answered {status}" + (f" {said}" if said else "")
    for prefix, kind, hint in _BY_CODE:
        if code.startswith(prefix):
            return _made(kind, told, hint, retry_after)
    if status in (408, 425, 429) or status >= 500:
        return _made(SinkBusy, told, "", retry_after)
    if status in (401, 403):
        return SinkPaused(f"{told}; {_CREDENTIAL}, and check `apikey`")
    if status < 400 or status in (402, 404, 405, 406):
        return SinkPaused(f"{told}; {_ADDRESS}")
    return SinkRejected(told)


def not_postgrest(status: int, place: str) -> Exception:
    """For a success that PostgREST didn't tell: something else answers there, and nothing was stored."""
    return SinkPaused(f"{place} answered {status}, but not as PostgREST does; {_ADDRESS}")


def _made(kind: type[Exception], told: str, hint: str, retry_after: str | None) -> Exception:
    if kind is SinkBusy:
        return SinkBusy(told, _seconds(retry_after))
    return kind(f"{told}; {hint}" if hint else told)


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds: it is a number of them, or a date."""
    if not retry_after:
        return None
    try:
        if retry_after.strip().isdecimal():
            wait = float(retry_after)
        else:
            wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def _decode(body: bytes) -> ErrorBody:
    try:
        return msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorBody()


def _shown(text: str, secrets: tuple[str, ...]) -> str:
    """One line of bounded length: the other side chose this text."""
    for secret in secrets:
        text = text.replace(secret, "<secret>")
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_SHOWN_CHARS]
