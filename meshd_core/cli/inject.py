"""Prompts: inject, with its stages as they come, and receipt."""

import os
import sys
import time

import click
from msgspec.structs import replace

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import TIMED_OUT, NotReached, note
from meshd_core.cli.progress import Progress, StageWatch
from meshd_core.cli.render import clean, show_facts, show_json
from meshd_core.cli.seconds import Seconds
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.config.decode import is_name
from meshd_core.errors import Draining, MeshdError, Overloaded, TooLarge
from meshd_core.exit_codes import ExitCode
from meshd_core.types import ENDS, MAX_PROMPT_BYTES, PROGRESS, InjectRequest, Receipt, Until, When

_RETRY_PAUSE_S = 0.5


def _receipt_id(ctx: click.Context, param: click.Parameter, value: str) -> str:
    ulid, at, node = value.partition("@")
    if not (ulid.isalnum() and ulid.isascii()) or (at and not is_name(node)):
        raise click.BadParameter(f"{value[:130]!r} is no id of a receipt: that is as 01JD0000000000000000000000@mac1.")
    return value


@click.command()
@slot_argument
@click.argument("text")
@click.option(
    "--until",
    type=click.Choice(["accepted", "written", "submitted", "completed"]),
    help="Wait for this stage. Default: submitted; with --no-submit written.",
)
@click.option(
    "--when",
    type=click.Choice(["idle", "now", "steer"]),
    default="idle",
    show_default=True,
    help="idle: once the agent is; now: only if it is; steer: into a busy agent.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(0, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for --until.",
)
@click.option(
    "--expires",
    "expires_s",
    type=Seconds(0, 604800, min_open=True),
    default=86400.0,
    metavar="SECONDS",
    help="Drop the prompt if it is still queued then. Default: a day.",
)
@click.option("--key", metavar="KEY", help="Idempotency key: with the same one a prompt is never typed twice.")
@click.option("--no-submit", is_flag=True, help="Type the text, but not Enter.")
@client_command
def inject(
    client: MeshdClient,
    as_json: bool,
    slot: str,
    text: str,
    until: Until | None,
    when: When,
    timeout_s: float,
    expires_s: float,
    key: str | None,
    no_submit: bool,
) -> None:
    """Type a prompt into a slot's agent; TEXT is - for stdin, and has at most 256 KiB.

    The stages go to stderr; the agent's reply (--until completed) goes to stdout. Exits 1 if the prompt failed or the
    turn ended with an error, 124 if --until was not reached in time: the prompt then goes on, and `meshd receipt` shows
    what becomes of it.

    \b
    meshd inject demo "hello" --until completed
    git diff | meshd inject claude-1 - --until completed --timeout 600
    meshd inject claude-1 "also the tests" --when steer
    meshd inject claude-1 -- "--text that starts with a dash"
    """
    until = until or ("written" if no_submit else "submitted")
    request = InjectRequest(
        text=prompt_text(text),
        submit=not no_submit,
        when=when,
        until=until,
        timeout_s=timeout_s,
        expires_s=expires_s,
    )
    key = key or os.urandom(16).hex()
    found = client.inject(slot, request, key=key) if as_json else _with_stages(client, slot, request, key)
    conclude(found, until, timeout_s, as_json)


@click.command()
@click.argument("receipt_id", metavar="ID", callback=_receipt_id)
@click.option("--cancel", is_flag=True, help="Cancel the prompt, if it is still queued.")
@client_command
def receipt(client: MeshdClient, as_json: bool, receipt_id: str, cancel: bool) -> None:
    """Show what became of a prompt.

    \b
    meshd receipt 01JD0000000000000000000000@mac1
    meshd receipt 01JD0000000000000000000000@mac1 --cancel
    """
    found = client.cancel(receipt_id) if cancel else client.receipt(receipt_id)
    if as_json:
        show_json(found)
        return
    facts = [("slot", f"{found.slot}@{found.node}"), ("stage", found.stage), *found.stages.items()]
    if found.queue_position is not None:
        facts.append(("queue position", str(found.queue_position)))
    facts += [("changed", change) for change in found.changes]
    if found.error:
        facts.append(("error", f"{found.error.code}: {found.error.message}"))
    show_facts(facts)
    if found.reply is not None:
        click.echo(_lines(found.reply))


def prompt_text(given: str) -> str:
    """The prompt: what was given, or stdin for `-`. Raises TooLarge."""
    if given != "-":
        return given
    data: bytes = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 2)
    if len(data.rstrip(b"\n")) > MAX_PROMPT_BYTES:
        raise TooLarge(f"a prompt has at most {MAX_PROMPT_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"stdin is not UTF-8 (byte {error.start}).") from error
    return text.removesuffix("\n").removesuffix("\r")


def _with_stages(client: MeshdClient, slot: str, request: InjectRequest, key: str) -> Receipt:
    """Inject and show the stages as they come.

    The first request is answered as soon as the prompt is recorded; the second, with the same key, joins it and waits.
    A daemon that restarts meanwhile is waited for: the key makes asking again safe.
    """
    ends_at = time.monotonic() + request.timeout_s
    with Progress() as progress:
        first = client.inject(slot, replace(request, until="accepted"), key=key)
        progress.show(first)
        if request.until == "accepted" or first.stage in ENDS:
            return first
        with StageWatch(client.another(), first.id, progress):
            try:
                found = _joined(client, slot, request, key, ends_at)
            except KeyboardInterrupt:
                note(f"the prompt goes on: meshd receipt {first.id}")
                raise
        progress.show(found)
        return found


def _joined(client: MeshdClient, slot: str, request: InjectRequest, key: str, ends_at: float) -> Receipt:
    while True:
        left_s = max(0.0, ends_at - time.monotonic())
        try:
            return client.inject(slot, replace(request, timeout_s=left_s), key=key)
        except (Unreachable, Draining, Overloaded):
            if ends_at - time.monotonic() <= _RETRY_PAUSE_S:
                raise
            time.sleep(_RETRY_PAUSE_S)


def conclude(found: Receipt, until: Until, timeout_s: float, as_json: bool) -> None:
    """Show the result and exit with what it means."""
    if as_json:
        show_json(found)
    elif found.reply and not (found.error and found.reply == found.error.message):
        click.echo(_lines(found.reply))
    elif succeeded(found, until):
        click.echo(clean(f"{found.stage} {found.id}"))
    if succeeded(found, until):
        if found.capped and not as_json:
            note(f"more than {found.stage!r} can't be proven here")
        return
    if found.stage not in ENDS:
        if as_json:
            raise click.exceptions.Exit(TIMED_OUT)
        raise NotReached(
            f"not {until} within {timeout_s:g} s; the prompt is {found.stage} and goes on",
            hint=f"meshd receipt {found.id}",
        )
    if as_json:
        raise click.exceptions.Exit(ExitCode.FAILURE)
    if found.stage == "completed" and found.error:
        raise MeshdError(f"the turn ended with an error: {found.error.message} ({found.error.code})")
    reason = f"{found.error.message} ({found.error.code})" if found.error else "no reason was given"
    raise MeshdError(f"the prompt is {found.stage}: {reason}", hint=f"meshd receipt {found.id}")


def succeeded(found: Receipt, until: Until) -> bool:
    """Whether the receipt got as far as was asked for, or as far as its kind can prove."""
    if found.stage in ENDS:
        return found.stage == "completed" and found.error is None
    return found.capped or (found.stage in PROGRESS and PROGRESS.index(found.stage) >= PROGRESS.index(until))


def _lines(text: str) -> str:
    return "\n".join(clean(line) for line in text.split("\n"))
