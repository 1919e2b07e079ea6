"""Reading the conversation with an agent."""

import click

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import note
from meshd_core.cli.render import age, clean, show_json
from meshd_core.client import MeshdClient
from meshd_core.types import Message

_RESULT_LINES = 5


@click.command()
@slot_argument
@click.option(
    "-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, metavar="N", help="How many at most."
)
@click.option("--before", metavar="ID", help="Those before this message.")
@click.option("--full", is_flag=True, help=f"Results of tools whole, not only their first {_RESULT_LINES} lines.")
@client_command
def messages(client: MeshdClient, as_json: bool, slot: str, limit: int, before: str | None, full: bool) -> None:
    """Show the conversation of a slot's present run, the newest messages last.

    They come from the agent's own session log where its kind reads one, else from the prompts that were injected and
    from the terminal. Remarks go to stderr.

    \b
    meshd messages claude-1
    meshd messages claude-1@mac2 -n 100 --json
    """
    page = client.messages(slot, before=before, limit=limit)
    if as_json:
        show_json(page)
        return
    if page.before is not None:
        note(f"-- older ones: --before {clean(page.before)} --")
    for message in page.messages:
        _show(message, full)
    if page.warning is not None:
        note(f"-- {clean(page.warning)} --")


def _show(message: Message, full: bool) -> None:
    facts: list[str] = [message.role]
    if message.tool is not None:
        facts += [message.tool.name, message.tool.outcome]
    if message.at is not None:
        facts.append(f"{age(message.at)} ago")
    if message.source not in ("log", "api"):
        facts.append(f"from {'an inject' if message.source == 'inject' else 'the terminal'}")
    if message.receipt is not None:
        facts.append(message.receipt)
    click.echo(clean(", ".join(facts)))
    if message.tool is not None:
        _indented(message.tool.command.split("\n"), "  $ ")
    lines = message.text.split("\n") if message.text else []
    short = message.tool is not None and not full and len(lines) > _RESULT_LINES
    _indented(lines[:_RESULT_LINES] if short else lines, "  ")
    if short:
        click.echo(f"  ... {len(lines) - _RESULT_LINES} lines more")
    elif message.cut:
        click.echo("  ... the rest is left out")


def _indented(lines: list[str], lead: str) -> None:
    for line in lines:
        click.echo(f"{lead}{clean(line)}".rstrip())
