"""Having the daemon read its configuration again."""

import click
import msgspec
from msgspec import Struct

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import note
from meshd_core.cli.render import clean, show_json
from meshd_core.client import MeshdClient
from meshd_core.errors import ConfigInvalid
from meshd_core.types import SlotChange

_WORDS = {
    "added": "added",
    "removed": "removed",
    "updated": "changed at once",
    "stale": "counts from its next start",
    "restarted": "restarted with it",
}


class _Problem(Struct, frozen=True):
    place: str
    reason: str
    hint: str | None = None


@click.command()
@click.option(
    "--restart",
    type=click.Choice(["none", "changed"]),
    default="none",
    show_default=True,
    help="'changed': restart the agents that run with older settings. Prompts in flight end as at a stop.",
)
@click.option("--stop-removed", is_flag=True, help="Stop agents whose slots the file has no more. Default: refuse.")
@client_command
def reload(client: MeshdClient, as_json: bool, restart: str, stop_removed: bool) -> None:
    """Have the daemon read its configuration again.

    Everything is judged first: a file that is not right changes nothing. SIGHUP to the daemon does the same.

    \b
    meshd reload
    meshd reload --restart changed
    """
    try:
        report = client.reload(restart="changed" if restart == "changed" else "none", stop_removed=stop_removed)
    except ConfigInvalid as error:
        if not as_json:
            _tell_problems(error)
        raise
    if as_json:
        show_json(report)
        return
    for change in report.slots:
        click.echo(clean(_line(change)))
    for node in report.nodes:
        click.echo(clean(f"node {node.node}: {_WORDS[node.change]}"))
    if not report.slots and not report.nodes:
        click.echo("no slot and no node has changed")
    if report.needs_restart:
        click.echo(clean(f"only a restart of the daemon applies: {', '.join(report.needs_restart)}"))
    for warning in report.warnings:
        click.echo(clean(f"warning: {warning}"), err=True)


def _tell_problems(error: ConfigInvalid) -> None:
    problems = msgspec.convert(error.details.get("problems", []), list[_Problem])
    for problem in problems:
        note(f"{problem.place}: {problem.reason}" + (f" ({problem.hint})" if problem.hint else ""))


def _line(change: SlotChange) -> str:
    settings = f" ({', '.join(change.settings)})" if change.settings else ""
    return f"{change.slot}: {_WORDS[change.change]}{settings}"
