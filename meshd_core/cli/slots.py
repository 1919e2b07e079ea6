"""Looking at slots: ls, show, screen, wait."""

import time

import click

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import NotReached, note
from meshd_core.cli.render import age, clean, show_facts, show_json, show_table
from meshd_core.cli.seconds import Seconds
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.errors import Draining, Overloaded
from meshd_core.types import MeshSlots, Slot, SlotDetail, SlotList

_LONGEST_WAIT_S = 30.0  # one request's; a longer wait is several
_PAUSE_S = 0.5


@click.command()
@click.option("--kind", help="Only slots of this kind.")
@click.option("--status", help="Only slots with this status, as running.")
@click.option("--activity", help="Only slots with this activity, as idle.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY:VALUE", help="Only slots with this label; may be repeated."
)
@click.option("--mesh", is_flag=True, help="The slots of all nodes that the daemon knows.")
@click.option("-w", "--watch", "is_watch", is_flag=True, help="Go on and show what changes, until Ctrl-C.")
@client_command
def ls(
    client: MeshdClient,
    as_json: bool,
    is_watch: bool,
    mesh: bool,
    kind: str | None,
    status: str | None,
    activity: str | None,
    labels: tuple[str, ...],
) -> None:
    """List the slots and what their agents are doing.

    With --watch the table is drawn again in its place; piped, each change is a line, with --json a JSON document.

    \b
    meshd ls
    meshd ls --activity waiting
    meshd ls --mesh --activity idle
    meshd ls --watch
    meshd ls --json | jq -r '.slots[].name'
    """
    if is_watch:
        from meshd_core.cli.watch import Filter, watch

        watch(client, Filter(kind, status, activity, labels), mesh=mesh, as_json=as_json)
        return
    if mesh:
        everywhere = client.mesh_slots(kind=kind, status=status, activity=activity, labels=labels)
        found = everywhere.slots
        shown: MeshSlots | SlotList = everywhere
    else:
        found = client.slots(kind=kind, status=status, activity=activity, labels=labels)
        shown = SlotList(found)
    if as_json:
        show_json(shown)
        return
    if isinstance(shown, MeshSlots):
        _tell_missing(shown)
    if not found:
        none = "no slots yet (see [[slots]] in meshd.toml), or none that this token reaches"
        click.echo("no slots that match" if kind or status or activity or labels else none)
        return
    rows = [
        (
            slot.address if mesh else slot.name,
            slot.kind,
            slot.status,
            _activity(slot),
            age(slot.activity.since),
            str(slot.queue),
            _remark(slot),
        )
        for slot in found
    ]
    show_table(("ADDRESS" if mesh else "NAME", "KIND", "STATUS", "ACTIVITY", "FOR", "QUEUE", ""), rows)


def _tell_missing(found: MeshSlots) -> None:
    """Which nodes the list is without, or has only as they were."""
    for node in found.nodes:
        if node.outcome == "stale":
            note(f"{node.node} is away; its slots as they were {(node.age_ms or 0) / 1000:.0f} s ago")
        elif node.outcome != "ok":
            note(f"{node.node}: {node.error or node.outcome}")


@click.command()
@slot_argument
@client_command
def show(client: MeshdClient, as_json: bool, slot: str) -> None:
    """Show one slot with all that is known about it.

    \b
    meshd show claude-1
    """
    found = client.slot(slot)
    if as_json:
        show_json(found)
    else:
        show_facts(_facts(found))


@click.command()
@slot_argument
@client_command
def screen(client: MeshdClient, as_json: bool, slot: str) -> None:
    """Show what is on a slot's terminal now.

    \b
    meshd screen claude-1
    """
    seen = client.screen(slot)
    if as_json:
        show_json(seen)
        return
    rows = [clean(row) for row in seen.rows]
    while rows and not rows[-1]:
        rows.pop()
    for row in rows:
        click.echo(row)


@click.command()
@slot_argument
@click.option(
    "--for", "states", default="idle", show_default=True, metavar="STATE[,STATE]", help="Activities or statuses."
)
@click.option("--timeout", "timeout_s", type=Seconds(min=0), default=60.0, show_default=True, metavar="SECONDS")
@client_command
def wait(client: MeshdClient, as_json: bool, slot: str, states: str, timeout_s: float) -> None:
    """Wait until a slot is idle, or what --for says.

    Exits 124 if that did not come in time.

    \b
    meshd wait claude-1
    meshd wait claude-1 --for waiting,idle --timeout 600
    """
    wanted = frozenset(state.strip() for state in states.split(",") if state.strip())
    found = _wait(client, slot, wanted, timeout_s)
    if not reached(found, wanted):
        now = f"{found.status}, {found.activity.state}"
        raise NotReached(f"{slot} was not {' or '.join(sorted(wanted))} within {timeout_s:g} s; it is {now}")
    if as_json:
        show_json(found)
    else:
        click.echo(found.activity.state if found.activity.state in wanted else found.status)


def _wait(client: MeshdClient, slot: str, wanted: frozenset[str], timeout_s: float) -> SlotDetail:
    """The slot once it is as `wanted`, or as it is when the time is over; waits out a daemon's restart."""
    ends_at = time.monotonic() + timeout_s
    found = client.slot(slot, wait_for=wanted, wait_s=min(timeout_s, _LONGEST_WAIT_S))
    while not reached(found, wanted) and (left_s := ends_at - time.monotonic()) > 0:
        try:
            found = client.slot(slot, wait_for=wanted, wait_s=min(left_s, _LONGEST_WAIT_S))
        except (Unreachable, Draining, Overloaded):
            if ends_at - time.monotonic() <= _PAUSE_S:
                raise
            time.sleep(_PAUSE_S)
    return found


def reached(slot: Slot, wanted: frozenset[str]) -> bool:
    """Whether the slot's activity or status is one of `wanted`; activities count only while it runs."""
    return slot.status in wanted or (slot.status == "running" and slot.activity.state in wanted)


def _activity(slot: Slot) -> str:
    return slot.activity.state if slot.status == "running" else "-"


def _remark(slot: Slot) -> str:
    """The one thing to know about this slot: why it can't run, what it asks, how it ended, else its title."""
    if slot.error:
        return slot.error
    if slot.dialog:
        return slot.dialog.command or slot.dialog.question
    if slot.exit and slot.status != "running":
        return _exit(slot)
    return slot.title


def _exit(slot: Slot) -> str:
    if slot.exit is None:
        return "-"
    how = slot.exit.signal or (f"code {slot.exit.code}" if slot.exit.code is not None else "unknown")
    return f"exited ({how}) {age(slot.exit.at)} ago"


def _facts(slot: SlotDetail) -> list[tuple[str, str]]:
    config, counters = slot.settings, slot.counters
    evidence = "; ".join(
        f"{seen.source}: {seen.rule} {' '.join(seen.matched.split())}".rstrip() for seen in slot.activity.evidence
    )
    facts = [
        ("address", slot.address),
        ("kind", f"{slot.kind} {slot.agent_version or ''}".rstrip()),
        ("status", slot.status),
        ("activity", f"{slot.activity.state} for {age(slot.activity.since)} ({slot.activity.confidence:.0%} sure)"),
        ("evidence", evidence or "none"),
        ("title", slot.title),
        ("pid", str(slot.pid or "-")),
        ("started", f"{age(slot.started_at)} ago" if slot.started_at else "-"),
        ("restarts", str(slot.restarts)),
        ("last exit", _exit(slot)),
        ("queue", (", ".join(slot.queued) or "empty") + (f"; held: {slot.held}" if slot.held else "")),
        ("labels", ", ".join(f"{key}={value}" for key, value in slot.labels.items()) or "none"),
        ("terminal", f"{slot.size.cols} x {slot.size.rows}"),
        ("output", f"{slot.output.lines} lines held, {slot.output.first_id} to {slot.output.last_id}"),
        ("counters", f"{counters.bytes_read} bytes read, {counters.bytes_written} written, {counters.lines} lines, "
                     f"{counters.injects} prompts, {counters.gaps} gaps, {counters.filter_errors} filter errors"),
        ("command", " ".join(config.command or ["the kind's own"]) + "".join(f" {arg}" for arg in config.args)),
        ("cwd", config.cwd),
        ("env", ", ".join(config.env) or "none"),
        ("policy", f"autostart {'on' if config.autostart else 'off'}, restart {config.restart}"
                   f"{', with its conversation' if config.resume else ''}"),
        ("filters", ", ".join(config.filters) or "default"),
    ]  # fmt: skip
    if slot.error:
        facts.insert(3, ("error", slot.error))
    if slot.dialog:
        options = ", ".join(f"{option.id}: {option.label}" for option in slot.dialog.options)
        facts.insert(4, ("asks", f"{slot.dialog.question} {slot.dialog.command or ''} [{options}]"))
        if slot.dialog.advice:
            facts.insert(5, ("to do", slot.dialog.advice))
    return facts
