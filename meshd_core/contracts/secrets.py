"""Secrets in the tables of plugins and sinks: the file names where one lies, never the secret."""

from collections.abc import Callable

from msgspec import Struct


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret lies: an environment variable or a file (relative to the configuration file).

    A plugin's configuration type uses it as the type of a key; `read_secret` of its context gives the text.
    """

    env: str | None = None
    file: str | None = None


ReadSecret = Callable[[SecretRef], str]
"""Reads the secret where it lies, each time anew, so that a rotated one is seen. Blocks for one small file.

Raises ValueError, with a message that never holds any of it, if it can't be had.
"""
