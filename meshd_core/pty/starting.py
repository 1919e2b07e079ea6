"""Starting a keeper from the daemon: in the background, with an environment that holds none of the daemon's secrets."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

import meshd_core
from meshd_core.pty.errors import KeeperError
from meshd_core.pty.processes import RUN_VARIABLE, SLOT_VARIABLE

# What Python itself may need; the markers, so that a keeper started by an agent ends with that agent's slot.
_KEPT = ("PATH", "HOME", "LANG", "TZ", "PYTHONHOME", "LD_LIBRARY_PATH", RUN_VARIABLE, SLOT_VARIABLE)


async def start_keeper(socket: Path, timeout_s: float) -> None:
    """Return once a keeper listens at `socket`, ours or one that somebody started meanwhile. Raises KeeperError.

    The process that is started forks the keeper and ends, so the daemon has no child to reap.
    """
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = keeper_environment(os.environ)
    starter = await asyncio.create_subprocess_exec(
        *keeper_command(socket),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            _, said = await starter.communicate()
    except TimeoutError:
        raise KeeperError(f"the keeper did not start within {timeout_s:.0f} s; see {socket}.log") from None
    finally:
        if starter.returncode is None:
            starter.kill()
            await starter.wait()
    if starter.returncode:
        reason = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise KeeperError(f"the keeper could not be started: {reason}")


def keeper_command(socket: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "meshd_core.pty.keeper", "--socket", os.path.abspath(socket))


def keeper_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a keeper gets, with a PYTHONPATH that finds this very package from anywhere."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    kept |= {name: value for name, value in environment.items() if name.startswith("LC_")}
    home = Path(meshd_core.__file__).resolve().parent.parent
    paths = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]
    if home.name not in ("site-packages", "dist-packages"):
        paths.insert(0, str(home))
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept
