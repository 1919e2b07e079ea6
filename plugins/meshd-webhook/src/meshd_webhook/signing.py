"""Standard Webhooks: who sent a request, and that it was just now.

Source: the specification of Standard Webhooks, version 1: HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`;
several signatures, separated by spaces, while a secret is rotated.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64


class BadSecret(ValueError):
    """What is no secret of Standard Webhooks; the message holds none of it."""


def keys_in(text: str) -> list[bytes]:
    """The keys that `text` names. Raises BadSecret."""
    return [_key(word) for word in text.split()]


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise BadSecret(
            f"is not {PREFIX} and {MIN_BYTES} to {MAX_BYTES} bytes in base64; "
            f"'echo {PREFIX}$(head -c 32 /dev/urandom | base64)' makes one"
        )
    return key


def signed_headers(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed request."""
    content = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
