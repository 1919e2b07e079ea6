"""The one shape of an error."""

from typing import Any

from msgspec import Struct, field


class ErrorBody(Struct, frozen=True):
    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class ErrorAnswer(Struct, frozen=True):
    error: ErrorBody
