"""Ending the daemon."""

import os
import time
from pathlib import Path

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import NotReached
from meshd_core.cli.render import show_json
from meshd_core.cli.seconds import Seconds
from meshd_core.client import BadAnswer, MeshdClient, Unreachable
from meshd_core.errors import MeshdError

_POLL_S = 0.05


@click.command()
@click.option("--keep-agents", is_flag=True, help="End the daemon alone; the next one takes the agents over.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until the daemon is gone.",
)
@client_command
def down(client: MeshdClient, as_json: bool, keep_agents: bool, timeout_s: float) -> None:
    """End the daemon with its agents, and wait until it is gone.

    \b
    meshd down
    meshd down --keep-agents
    """
    try:
        pid = client.node().pid
    except Unreachable:
        if keep_agents or not client.is_local or not _end_orphans(Path(client.address).parent, as_json):
            raise
        return
    answer = client.shutdown("keep" if keep_agents else "stop")
    ends_at = time.monotonic() + timeout_s
    while not _gone(client, pid):
        if time.monotonic() >= ends_at:
            raise NotReached(f"the daemon (pid {pid}) is still ending after {timeout_s:g} s")
        time.sleep(_POLL_S)
    if as_json:
        show_json({"status": "stopped", "agents": answer.agents})
    else:
        click.echo("the daemon has ended" + ("; the agents go on" if keep_agents else ", and its agents too"))


def _end_orphans(runtime_dir: Path, as_json: bool) -> bool:
    """There is no daemon: end what one left running; False if nothing is there."""
    from meshd_core.daemon.orphans import end_orphans

    slots = end_orphans(runtime_dir)
    if slots is None:
        return False
    if as_json:
        show_json({"status": "stopped", "agents": "stop"})
    else:
        click.echo(f"no daemon was there; its agents have ended: {', '.join(slots) or 'none were left'}")
    return True


def _gone(client: MeshdClient, pid: int) -> bool:
    """Whether nothing answers there any more and, on this machine, the process has ended."""
    try:
        client.health()
    except Unreachable:
        return not (client.is_local and _lives(pid))
    except (MeshdError, BadAnswer):
        return False
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return Path("/proc/self").exists() is False  # no /proc here: the signal's answer counts
    return state != "Z"  # ended, only not yet collected by its parent
