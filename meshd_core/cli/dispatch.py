"""Prompts for whichever slot fits: dispatch to one, broadcast to all."""

import os
from collections.abc import Callable
from typing import Any

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import TIMED_OUT, note
from meshd_core.cli.inject import conclude, prompt_text, succeeded
from meshd_core.cli.render import show_json, show_table
from meshd_core.cli.seconds import Seconds
from meshd_core.client import MeshdClient
from meshd_core.exit_codes import ExitCode
from meshd_core.types import ENDS, BroadcastRequest, MeshInjectRequest, Select, Until

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--kind", help="Only slots of this kind."),
    click.option(
        "--label", "labels", multiple=True, metavar="KEY:VALUE", help="Only slots with this label; may be repeated."
    ),
    click.option("--node", help="Only slots of this node."),
    click.option(
        "--until",
        type=click.Choice(["accepted", "written", "submitted", "completed"]),
        default="submitted",
        show_default=True,
        help="Wait for this stage.",
    ),
    click.option(
        "--timeout", "timeout_s", type=Seconds(0, 3600), default=30.0, show_default=True, metavar="SECONDS",
        help="How long to wait for --until.",
    ),
    click.option("--key", metavar="KEY", help="Idempotency key: with the same one a prompt is never typed twice."),
)  # fmt: skip


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("text")
@_selecting
@click.option("--queue", is_flag=True, help="If no slot is idle, queue the prompt where the queue is shortest.")
@client_command
def dispatch(
    client: MeshdClient, as_json: bool, text: str, kind: str | None, labels: tuple[str, ...], node: str | None,
    until: Until, timeout_s: float, key: str | None, queue: bool,
) -> None:  # fmt: skip
    """Give a prompt to one idle slot that matches, on any node; TEXT is - for stdin.

    The least recently used one is taken. Exits as `meshd inject` does.

    \b
    meshd dispatch "run the tests" --kind claude --until completed --timeout 600
    meshd dispatch "run the tests" --label team:web --queue
    """
    request = MeshInjectRequest(
        text=prompt_text(text), when="idle" if queue else "now", until=until, timeout_s=timeout_s,
        select=_select(kind, labels, node),
    )  # fmt: skip
    found = client.mesh_inject(request, key=key or os.urandom(16).hex())
    if not as_json:
        note(f"{found.slot}@{found.node} has it: {found.id}")
    conclude(found, until, timeout_s, as_json)


@click.command()
@click.argument("text")
@_selecting
@client_command
def broadcast(
    client: MeshdClient, as_json: bool, text: str, kind: str | None, labels: tuple[str, ...], node: str | None,
    until: Until, timeout_s: float, key: str | None,
) -> None:  # fmt: skip
    """Give a prompt to every slot that matches, on all nodes; TEXT is - for stdin.

    Exits 1 if one of them did not take it, 124 if one did not reach --until in time.

    \b
    meshd broadcast "commit what you have" --kind claude
    """
    request = BroadcastRequest(
        text=prompt_text(text), until=until, timeout_s=timeout_s, select=_select(kind, labels, node)
    )
    found = client.mesh_broadcast(request, key=key or os.urandom(16).hex())
    if as_json:
        show_json(found)
    else:
        rows = [(f"{one.slot}@{one.node}", str(one.stage), one.id) for one in found.receipts]
        rows += [(failure.address, failure.code, failure.message) for failure in found.failures]
        if rows:
            show_table(("SLOT", "STAGE", ""), rows)
        else:
            note("no slot matches")
        for missing in (one for one in found.nodes if one.outcome != "ok"):
            note(f"node {missing.node}: {missing.outcome}: {missing.error}")
    ended_badly = [one for one in found.receipts if one.stage in ENDS and not succeeded(one, until)]
    if found.failures or ended_badly or not found.receipts:
        raise click.exceptions.Exit(ExitCode.FAILURE)
    if late := sum(not succeeded(one, until) for one in found.receipts):
        if not as_json:
            note(f"{late} of {len(found.receipts)} not {until} within {timeout_s:g} s; they go on: meshd receipt <id>")
        raise click.exceptions.Exit(TIMED_OUT)


def _select(kind: str | None, labels: tuple[str, ...], node: str | None) -> Select:
    pairs = [label.partition(":") for label in labels]
    if wrong := [label for label, (_, colon, _) in zip(labels, pairs, strict=True) if not colon]:
        raise click.UsageError(f"a label is written as KEY:VALUE, not {wrong[0]!r}.")
    return Select(kind=kind, labels={name: value for name, _, value in pairs}, node=node)
