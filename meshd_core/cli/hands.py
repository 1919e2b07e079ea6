"""A person's hand on an agent: keys, interrupt, answer, resize."""

import sys

import click

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import TIMED_OUT, NotReached
from meshd_core.cli.render import clean, show_json
from meshd_core.client import MeshdClient
from meshd_core.errors import DialogChanged
from meshd_core.types import Dialog, Slot

_MAX_STDIN_BYTES = 64 * 1024


@click.command()
@slot_argument
@click.argument("keys", nargs=-1)
@click.option("--stdin", "from_stdin", is_flag=True, help="Send the bytes of stdin as they are, instead of keys.")
@client_command
def keys(client: MeshdClient, as_json: bool, slot: str, keys: tuple[str, ...], from_stdin: bool) -> None:
    """Press keys in a slot's terminal, as a person would.

    KEYS are names (Enter, Escape, Tab, Up, PageDown, F5, C-c, M-x, S-Tab) or single characters. C- goes with a to z,
    @, [, \\, ], ^ and _ alone. For 15 s after it meshd types no prompt into the slot.

    \b
    meshd keys claude-1 Escape
    meshd keys claude-1 h e l l o Enter
    printf 'hello' | meshd keys claude-1 --stdin
    """
    if from_stdin == bool(keys):
        raise click.UsageError("give either keys or --stdin.")
    if from_stdin:
        data: bytes = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
        if not 0 < len(data) <= _MAX_STDIN_BYTES:
            raise click.UsageError(f"stdin must have 1 to {_MAX_STDIN_BYTES} bytes.")
        found = client.raw_keys(slot, data)
    else:
        found = client.keys(slot, keys)
    if as_json:
        show_json(found)
    else:
        click.echo(clean(f"{found.slot}: {found.bytes_written} bytes"))


@click.command()
@slot_argument
@client_command
def interrupt(client: MeshdClient, as_json: bool, slot: str) -> None:
    """Stop what a slot's agent is doing, the way its kind does it.

    An idle agent is left alone. Exits 124 if the turn had not ended after 3 s.

    \b
    meshd interrupt claude-1
    """
    found = client.interrupt(slot)
    if as_json:
        show_json(found)
        if found.activity.state == "busy":
            raise click.exceptions.Exit(TIMED_OUT)
    elif found.activity.state == "busy":
        raise NotReached(f"{slot} is still busy", hint=f"meshd screen {slot}")
    else:
        click.echo(clean(f"{found.name}: {found.activity.state}"))


@click.command()
@slot_argument
@click.argument("choice", required=False)
@click.option("--dialog", "dialog_id", metavar="ID", help="Only if this dialog is still the open one.")
@client_command
def answer(client: MeshdClient, as_json: bool, slot: str, choice: str | None, dialog_id: str | None) -> None:
    """Answer the dialog that a slot's agent has open.

    CHOICE is the id of an option that the dialog offers (accept, option2), or deny; without it the dialog is shown and,
    on a terminal, asked for. It is typed only while that very dialog is open. Exits 124 if the dialog still stood after
    3 s.

    \b
    meshd answer claude-1
    meshd answer claude-1 accept
    meshd answer claude-1 option2
    meshd answer claude-1 deny --dialog d3-0f6d1c2a9b7e
    """
    dialog = client.slot(slot).dialog
    if dialog is None:
        raise DialogChanged(f"{slot} has no dialog open", hint=f"meshd wait {slot} --for waiting")
    if choice is None:
        if as_json:
            show_json(dialog)
            return
        _show(dialog)
        if not sys.stdin.isatty():
            return
        choices = [*(option.id for option in dialog.options if option.id != "deny"), "deny"]
        choice = str(click.prompt("answer", type=click.Choice(choices)))
    result = client.answer(slot, dialog_id or dialog.id, choice)
    if as_json:
        show_json(result)
        if not result.closed:
            raise click.exceptions.Exit(TIMED_OUT)
    elif not result.closed:
        raise NotReached(f"{choice} was typed, and the dialog still stands", hint=f"meshd screen {slot}")
    else:
        click.echo(clean(f"{slot}: {choice}: {dialog.command or dialog.question}"))


@click.command()
@slot_argument
@click.argument("rows", type=click.IntRange(2, 500))
@click.argument("cols", type=click.IntRange(10, 1000))
@client_command
def resize(client: MeshdClient, as_json: bool, slot: str, rows: int, cols: int) -> None:
    """Give a slot's terminal another size, until its agent's next start.

    \b
    meshd resize claude-1 50 160
    """
    found: Slot = client.resize(slot, rows, cols)
    if as_json:
        show_json(found)
    else:
        click.echo(clean(f"{found.name}: {found.size.cols} x {found.size.rows}"))


def _show(dialog: Dialog) -> None:
    click.echo(clean(dialog.question or dialog.kind))
    if dialog.command:
        click.echo(f"  {clean(dialog.command)}")
    for option in dialog.options:
        click.echo(clean(f"  {option.id}: {option.label}") + (" (default)" if option.default else ""))
