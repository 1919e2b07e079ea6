"""Following a slot's output."""

import click
import msgspec

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import note
from meshd_core.cli.render import clean
from meshd_core.client import Event, MeshdClient
from meshd_core.client.events import EVENT_TYPES, EventType
from meshd_core.types import (
    ByeEvent,
    DialogEvent,
    EndEvent,
    Gap,
    Line,
    OutputPage,
    Receipt,
    StateEvent,
)

_ALWAYS: tuple[EventType, ...] = ("gap", "end", "bye")
_PAGE_LINES = 1000


def _event_types(ctx: click.Context, param: click.Parameter, value: str) -> tuple[EventType, ...]:
    names = [name.strip() for name in value.split(",")]
    wrong = [name for name in names if name not in EVENT_TYPES]
    if wrong:
        raise click.BadParameter(f"no such event: {', '.join(wrong)}; there are {', '.join(EVENT_TYPES)}.")
    return tuple(kind for kind in EVENT_TYPES if kind in names)


@click.command()
@slot_argument
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Begin N lines back. Default: 10.")
@click.option("--since", metavar="ID", help="Begin after this event id, or with 'oldest'.")
@click.option("--no-follow", is_flag=True, help="Show what is there and end.")
@click.option(
    "--events", default="line", show_default=True, callback=_event_types, metavar="TYPE[,TYPE]", help="What to show."
)
@client_command
def tail(
    client: MeshdClient,
    as_json: bool,
    slot: str,
    lines: int | None,
    since: str | None,
    no_follow: bool,
    events: tuple[EventType, ...],
) -> None:
    """Follow a slot's output.

    Goes on by itself, without a gap, after a restart of the daemon. Lines go to stdout, remarks (lost lines, the
    agent's end) to stderr. With --json: one event a line.

    \b
    meshd tail claude-1
    meshd tail claude-1 -n 100 --no-follow
    meshd tail claude-1 --events line,state,inject --json
    """
    if since is not None and lines is not None:
        raise click.UsageError("--lines and --since exclude each other.")
    if no_follow:
        if events != ("line",):
            raise click.UsageError("--no-follow shows lines only, without --events.")
        _page_through(client, as_json, slot, since, 10 if lines is None else lines)
        return
    wanted = tuple(kind for kind in EVENT_TYPES if kind in events or kind in _ALWAYS)
    away = _Away()
    count = None if since is not None else 10 if lines is None else lines
    for event in client.stream(slot, since=since, tail=count, events=wanted, on_away=away.lost):
        away.back()
        _show(event, as_json)


class _Away:
    """Says once that the daemon is away, and once that it is back."""

    def __init__(self) -> None:
        self._is_away = False

    def lost(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            note(f"-- connection lost, trying again: {error} --")

    def back(self) -> None:
        if self._is_away:
            self._is_away = False
            note("-- connected again --")


def _page_through(client: MeshdClient, as_json: bool, slot: str, since: str | None, count: int) -> None:
    """What the ring holds now: the newest `count` lines, or everything after `since`, page by page."""
    if since is None:
        if count:
            _show_page(client.output(slot, limit=count), as_json)
        return
    stop = client.slot(slot).output.last_id
    while True:
        page = client.output(slot, since=since, limit=_PAGE_LINES)
        _show_page(page, as_json)
        if not page.lines or page.next in (since, stop):
            return
        since = page.next


def _show_page(page: OutputPage, as_json: bool) -> None:
    if page.gap is not None:
        _show(Event("gap", page.gap), as_json)
    for line in page.lines:
        _show(Event("line", line, line.id), as_json)


def _show(event: Event, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(event))
        return
    match event.data:
        case Line(text=text):
            click.echo(clean(text))
        case Gap(lost_lines=lost):
            note(f"-- gap: {'some' if lost is None else lost} lines lost --")
        case EndEvent(exit=ended):
            how = ended.signal or (f"code {ended.code}" if ended.code is not None else "unknown")
            note(f"-- the agent ended ({how}) --")
        case ByeEvent(reason=reason):
            note(f"-- the daemon is stopping ({reason}) --")
        case StateEvent(status=status, activity=activity):
            click.echo(f"[state] {status}, {activity.state}")
        case DialogEvent(event=happened, dialog=dialog):
            click.echo(clean(f"[dialog] {happened}: {dialog.question} {dialog.command or ''}".rstrip()))
        case Receipt(id=receipt_id, stage=stage):
            click.echo(clean(f"[inject] {stage} {receipt_id}"))
