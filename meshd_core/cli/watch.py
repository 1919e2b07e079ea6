"""`meshd ls --watch`: the slots as they change, from the stream of states, which comes back by itself.

On a terminal the table is drawn again in its place; otherwise each change is a line of its own.
"""

import queue
import shutil
import sys
import threading
from collections.abc import Callable
from datetime import datetime

import click
import msgspec
from msgspec import Struct

from meshd_core.cli.failures import note
from meshd_core.cli.render import age, clean, table_lines
from meshd_core.client import BadAnswer, MeshdClient, MeshEvent, Unreachable
from meshd_core.errors import MeshdError
from meshd_core.types import MeshState, NodeOutcome

_TICK_S = 1.0
"""How often a terminal is drawn again without a change: the ages grow."""
_QUEUED = 1000

Item = MeshEvent | Exception
"""What the stream tells; an exception for each loss of the connection, the last one if it is final."""


class Filter(Struct, frozen=True):
    """Which slots to show."""

    kind: str | None = None
    status: str | None = None
    activity: str | None = None
    labels: tuple[str, ...] = ()

    def matches(self, slot: MeshState) -> bool:
        """As `GET /slots` filters."""
        labels = {f"{key}:{value}" for key, value in slot.labels.items()}
        return (
            _among(slot.kind, self.kind)
            and _among(slot.status, self.status)
            and _among(slot.activity.state, self.activity)
            and labels.issuperset(self.labels)
        )


def watch(client: MeshdClient, wanted: Filter, *, mesh: bool, as_json: bool) -> None:
    """Show the slots until Ctrl-C. Raises what makes the stream end for good."""
    shown: Table | Lines = Table(mesh) if sys.stdout.isatty() and not as_json else Lines(mesh, as_json)
    items: queue.Queue[Item] = queue.Queue(_QUEUED)
    over = threading.Event()

    def read() -> None:
        try:
            for event in client.mesh_stream(local=not mesh, on_away=items.put):
                items.put(event)
        except (MeshdError, Unreachable, BadAnswer) as error:
            over.set()
            items.put(error)

    threading.Thread(target=read, name="states", daemon=True).start()  # ends with the process
    while True:
        try:
            item = items.get(timeout=_TICK_S)
        except queue.Empty:
            shown.tick()
            continue
        if isinstance(item, Exception):
            if over.is_set() and items.empty():
                raise item
            shown.away(item)
        else:
            shown.take(item, wanted)
            if items.empty():
                shown.tick()


class _Slots:
    """The states that were told last, those that match."""

    def __init__(self, mesh: bool) -> None:
        self.mesh = mesh
        self.slots: dict[str, MeshState] = {}

    def take(self, event: MeshEvent, wanted: Filter) -> None:
        """Keep what `event` says."""
        match event.data:
            case NodeOutcome(node=node, outcome="ok"):  # the states of all its slots follow
                self.slots = {at: slot for at, slot in self.slots.items() if at.rpartition("@")[2] != node}
            case MeshState(address=address) as slot:
                before = self.slots.pop(address, None)
                if not slot.removed and wanted.matches(slot):
                    self.slots[address] = slot
                if before is not None or address in self.slots:
                    self.changed(slot)

    def changed(self, slot: MeshState) -> None:
        """A slot that is, or was, shown has another state."""

    def name(self, slot: MeshState) -> str:
        return slot.address if self.mesh else slot.address.partition("@")[0]


class Table(_Slots):
    """One table on a terminal, drawn again in its place."""

    def __init__(self, mesh: bool, write: Callable[[str], None] | None = None) -> None:
        super().__init__(mesh)
        self._write = write or (lambda text: click.echo(text, nl=False))
        self._drawn = 0
        self._away: str | None = None

    def take(self, event: MeshEvent, wanted: Filter) -> None:
        self._away = None
        super().take(event, wanted)

    def away(self, error: Exception) -> None:
        """The connection was lost."""
        self._away = f"-- {error}; trying again --"
        self.tick()

    def tick(self) -> None:
        """Draw it."""
        columns, rows = shutil.get_terminal_size()
        lines = self._lines(columns)
        if len(lines) > rows - 1:
            lines = [*lines[: rows - 2], f"... and {len(lines) - rows + 2} more"]
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._write(f"\r{back}\x1b[J" + "".join(f"{line}\n" for line in lines))
        self._drawn = len(lines)

    def _lines(self, columns: int) -> list[str]:
        shown = [
            (self.name(slot), slot.kind, slot.status, activity(slot), age(slot.activity.since), str(slot.queue),
             remark(slot))
            for _, slot in sorted(self.slots.items())
        ]  # fmt: skip
        head = ("ADDRESS" if self.mesh else "NAME", "KIND", "STATUS", "ACTIVITY", "FOR", "QUEUE", "")
        lines = table_lines(head, shown, columns)
        return lines if self._away is None else [*lines, clean(self._away)[:columns]]


class Lines(_Slots):
    """One line for each change."""

    def __init__(self, mesh: bool, as_json: bool) -> None:
        super().__init__(mesh)
        self._as_json = as_json
        self._is_away = False
        self._told: dict[str, tuple[str, ...]] = {}

    def take(self, event: MeshEvent, wanted: Filter) -> None:
        if self._is_away:
            self._is_away = False
            note("-- connected again --")
        super().take(event, wanted)

    def away(self, error: Exception) -> None:
        """The connection was lost; said once."""
        if not self._is_away:
            self._is_away = True
            note(f"-- connection lost, trying again: {error} --")

    def changed(self, slot: MeshState) -> None:
        told = ("removed" if slot.removed else slot.status, activity(slot), remark(slot))
        if self._told.get(slot.address) == told:
            return  # told again after a loss of the connection
        self._told[slot.address] = told
        if self._as_json:
            click.echo(msgspec.json.encode(slot))
            return
        at = datetime.fromisoformat(slot.at).astimezone().strftime("%H:%M:%S")
        click.echo(clean(" ".join([at, self.name(slot), *told]).rstrip()))

    def tick(self) -> None:
        """Nothing: a line stays as it is."""


def activity(slot: MeshState) -> str:
    return slot.activity.state if slot.status == "running" else "-"


def remark(slot: MeshState) -> str:
    """The one thing to know about a slot: why it can't run, what it asks, else its title."""
    if slot.error:
        return slot.error
    return (slot.dialog.command or slot.dialog.question) if slot.dialog else slot.title


def _among(value: str, wanted: str | None) -> bool:
    return wanted is None or value in [word.strip() for word in wanted.split(",")]
