"""Prompts and their receipts."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from meshd_core.types.words import Stage, Until, When

MAX_PROMPT_BYTES = 256 * 1024
MAX_QUEUED = 100
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")
"""What an `Idempotency-Key` can be: printable ASCII without blanks, which HTTP would trim."""


class InjectRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /inject/{slot}`."""

    text: str
    submit: bool = True
    when: When = "idle"
    until: Until = "submitted"
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    expires_s: Annotated[float, Meta(gt=0, le=604800)] = 86400.0


class ReceiptError(Struct, frozen=True):
    code: str
    message: str
    screen: tuple[str, ...] | None = None
    """The rows that were on the screen, as evidence, where the screen was the reason."""


class Receipt(Struct, frozen=True):
    """What became of one prompt. `stages` maps each stage reached to its time."""

    id: str
    slot: str
    node: str
    stage: Stage
    stages: dict[str, str]
    queue_position: int | None
    changes: tuple[str, ...]
    reply: str | None
    error: ReceiptError | None
    capped: bool
