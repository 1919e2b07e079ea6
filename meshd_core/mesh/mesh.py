"""The mesh of one node: its table of peers, and what may be asked of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meshd_core.config.check import CheckedConfig
from meshd_core.types import PeerInfo


class Mesh:
    """The other nodes of the table. `running()` owns the probes."""

    def __init__(self, config: CheckedConfig) -> None:
        self._config = config

    def update(self, config: CheckedConfig) -> None:
        """Take up a changed table; what stays the same is not disturbed."""
        self._config = config

    def peers(self) -> list[PeerInfo]:
        """The table as it is seen now."""
        return []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
