"""The keeper that is there now.

A keeper that died leaves the agents running, for as long as this daemon holds their terminals: a new keeper takes them
over. It is not their parent, so how they end later can't be known.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from meshd_core.config.places import Places
from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.pty.client import KeeperClient
from meshd_core.pty.errors import KeeperBusy, KeeperError
from meshd_core.pty.messages import ChildInfo

log = logging.getLogger(__name__)

_RETRY_S = 1.0


def keeper_socket(places: Places) -> Path:
    """Where the keeper of this state listens.

    In the state folder: the agents belong to the state, whatever runtime folder a daemon is started with, and nobody
    cleans that folder. A link in the runtime folder leads `meshd down` there when no daemon answers.
    """
    socket = places.state_dir / "keeper.sock"
    link = places.runtime_dir / "keeper.sock"
    if link != socket:
        link.unlink(missing_ok=True)
        link.symlink_to(socket)
    return socket


class KeeperLink:
    """Connects to the node's keeper, and to the next one. `held()` gives what the daemon holds: runs and masters."""

    def __init__(
        self, socket: Path, on_exit: Callable[[ChildInfo], None],
        held: Callable[[], Iterable[tuple[ChildInfo, int | None]]],
    ) -> None:  # fmt: skip
        self._socket, self._on_exit, self._held = socket, on_exit, held
        self._client: KeeperClient | None = None

    @property
    def client(self) -> KeeperClient:
        """Raises KeeperError while there is none."""
        if self._client is None:
            raise KeeperError("there is no keeper at the moment; try again in a second")
        return self._client

    async def open(self) -> None:
        """Connect, starting a keeper if none runs. Raises StartupError."""
        try:
            self._client = await self._connect()
        except KeeperBusy as error:
            raise StartupError(str(error), ExitCode.ALREADY_RUNNING) from error
        except (KeeperError, OSError, TimeoutError) as error:
            raise StartupError(f"the keeper can't be used: {error}", ExitCode.KEEPER) from error

    async def _connect(self) -> KeeperClient:
        client = await KeeperClient.connect(self._socket)
        client.on_exit(self._on_exit)
        return client

    async def watch(self) -> None:
        """Replace a keeper that died, until cancelled; a task of the daemon."""
        while True:
            await self.client.closed.wait()
            log.error("the keeper died")
            self._client = None
            while self._client is None:
                try:
                    client = await self._connect()
                    for child, fd in list(self._held()):
                        if fd is not None:
                            await client.take(child, fd)
                    self._client = client
                    log.warning("a new keeper has the agents; how they end can't be known any more")
                except (KeeperError, OSError, TimeoutError) as error:
                    log.error("no keeper", extra={"reason": str(error)})
                    await asyncio.sleep(_RETRY_S)

    async def close(self, *, end_keeper: bool) -> None:
        """Let go of the keeper; with `end_keeper`, end it: only once no agent is left."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if end_keeper:
                await client.shutdown()
            await client.close()
        except (KeeperError, OSError, TimeoutError) as error:
            log.warning("the keeper did not end", extra={"reason": str(error)})
