"""Errors of sinks as they may be shown: a plugin's exception can hold the credential that it was sent with."""

from meshd_core.contracts.secrets import ReadSecret, SecretRef
from meshd_core.plugins.failures import describe

MASK = "[secret]"
_SHORTEST = 4
"""A shorter secret is none, and would hide half of every message."""


class SecretMask:
    """Reads secrets for one sink and remembers them, to keep them out of its errors."""

    def __init__(self, read_secret: ReadSecret) -> None:
        self._read = read_secret
        self._known: dict[str, None] = {}

    def read(self, ref: SecretRef) -> str:
        """As `ReadSecret`."""
        value = self._read(ref)
        if len(value) >= _SHORTEST:
            self._known[str(value)] = None
            while len(self._known) > 100:  # rotated ones; the oldest is long out of use
                del self._known[next(iter(self._known))]
        return value

    def describe(self, error: BaseException) -> str:
        """One line: type and message, without any secret that this sink has read."""
        return describe(error, self._hide)

    def _hide(self, text: str) -> str:
        for secret in tuple(self._known):
            text = text.replace(secret, MASK)
        return text
