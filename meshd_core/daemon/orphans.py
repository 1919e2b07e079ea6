"""Ending agents whose daemon is gone: 'meshd down' must mean it, whether or not a daemon is there."""

import asyncio
import signal
from pathlib import Path

from meshd_core.config.places import Places
from meshd_core.pty.client import KeeperClient
from meshd_core.pty.errors import KeeperError

TERM_GRACE_S = 5.0


def end_orphans(runtime_dir: Path) -> list[str] | None:
    """End every agent that the keeper in `runtime_dir` still has, and the keeper; the names of their slots.

    None: there is no keeper. Raises KeeperError if it is in use by a daemon or can't be talked to.
    """
    places = Places.find()
    sockets = [runtime_dir / "keeper.sock"]
    if runtime_dir == places.runtime_dir:
        sockets.append(places.state_dir / "keeper.sock")  # the runtime folder may have been cleaned
    socket = next((path for path in sockets if path.exists()), None)
    return None if socket is None else asyncio.run(_end(socket.resolve()))


async def _end(socket: Path) -> list[str] | None:
    try:
        keeper = await KeeperClient.connect(socket, start=False)
    except (KeeperError, OSError):
        return None
    children = [child for child in await keeper.children() if child.exited_at_ms is None]
    for child in children:
        await keeper.sweep(child.run, signal.SIGTERM)
    for child in children:
        try:
            async with asyncio.timeout(TERM_GRACE_S):
                while await keeper.processes(child.run):  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await keeper.sweep(child.run, signal.SIGKILL)
    await keeper.shutdown(force=True)
    return [child.slot for child in children]
