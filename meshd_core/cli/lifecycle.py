"""Starting and stopping agents."""

import click

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.render import clean, show_json
from meshd_core.cli.seconds import Seconds
from meshd_core.client import MeshdClient
from meshd_core.types import Slot

_resume = click.option("--resume", is_flag=True, help="Continue the agent's last conversation, where the kind can.")
_grace = click.option(
    "--grace",
    "grace_s",
    type=Seconds(0, 300),
    metavar="SECONDS",
    help="For each step (polite exit, TERM) before the next. Default: the kind's own.",
)


@click.command()
@slot_argument
@_resume
@client_command
def start(client: MeshdClient, as_json: bool, slot: str, resume: bool) -> None:
    """Start a slot's agent.

    \b
    meshd start claude-1 --resume
    """
    _tell(client.start(slot, resume=resume), as_json)


@click.command()
@slot_argument
@_grace
@client_command
def stop(client: MeshdClient, as_json: bool, slot: str, grace_s: float | None) -> None:
    """Stop a slot's agent.

    Politely first, then with TERM, then with KILL.

    \b
    meshd stop claude-1
    """
    _tell(client.stop(slot, grace_s=grace_s), as_json)


@click.command()
@slot_argument
@_resume
@_grace
@client_command
def restart(client: MeshdClient, as_json: bool, slot: str, resume: bool, grace_s: float | None) -> None:
    """Stop a slot's agent and start it again.

    \b
    meshd restart claude-1 --resume
    """
    _tell(client.restart(slot, resume=resume, grace_s=grace_s), as_json)


def _tell(slot: Slot, as_json: bool) -> None:
    if as_json:
        show_json(slot)
    else:
        click.echo(clean(f"{slot.name}: {slot.status}" + (f" (pid {slot.pid})" if slot.pid else "")))
