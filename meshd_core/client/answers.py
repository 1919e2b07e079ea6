"""What comes back: typed answers, the errors of the protocol by their code, and the client's own two errors.

Answers are decoded leniently: keys that this client doesn't know are ignored.
"""

from typing import TypeVar

import msgspec

from meshd_core import errors
from meshd_core.errors import MeshdError
from meshd_core.types import ErrorAnswer

T = TypeVar("T")


class Unreachable(ConnectionError):
    """No daemon answers at `address`: nothing listens there, or it didn't answer in time."""

    code = "unreachable"

    def __init__(
        self, address: str, reason: str, *, hint: str | None = None, sent: bool = True, timed_out: bool = False
    ) -> None:
        """`sent` False: there was no connection, so nothing of the request can have arrived."""
        super().__init__(f"no daemon answers at {address}: {reason}")
        self.address = address
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out
        self.hint = hint or "start one with 'meshd serve', or name another with --url, --socket or --runtime-dir"


class BadAnswer(Exception):
    """Something answered, but not as a meshd daemon would."""

    code = "bad_answer"
    hint = "is it meshd that listens there, and of a version that fits this client?"


class NoHttp(BadAnswer):
    """What answered is not HTTP; a stream that had begun takes it for a loss."""

    def __init__(self, address: str, what: str) -> None:
        super().__init__(f"{address} does not answer as HTTP should: {what}")


def decode(data: bytes, shape: type[T], address: str) -> T:
    """`data` as a `shape`. Raises `BadAnswer` if it isn't one."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        name = getattr(shape, "__name__", "JSON object")
        raise BadAnswer(f"{address} answered with something that is not a {name}: {error}") from error


def error_from(status: int, data: bytes, address: str) -> MeshdError:
    """The error that an answer with `status` (400 or more) carries, as the class of its code.

    A code that this client doesn't know comes as a plain `MeshdError` with that `code`. Raises `BadAnswer` if the body
    is not an error of the protocol.
    """
    try:
        body = msgspec.json.decode(data, type=ErrorAnswer).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"{address} answered {status} without an error of meshd's form") from error
    shape = _classes().get(body.code, MeshdError)
    found = shape.__new__(shape)  # the classes' own __init__ take facts, here the message is already made
    MeshdError.__init__(found, body.message, hint=body.hint)
    found.details = body.details
    found.__dict__.update(code=body.code, status=status)
    return found


def _classes() -> dict[str, type[MeshdError]]:
    shapes = (value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, MeshdError))
    return {shape.code: shape for shape in shapes if shape is not MeshdError}
