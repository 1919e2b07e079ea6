"""One slot's terminal for people who are attached to it: its raw bytes, its painted screen, its keys, its size.

Readers are cursors into the journal's raw ring, as those of events are: a slow one costs nobody anything. Who comes,
or has fallen behind, begins with the screen as the emulator has it; the bytes after it follow without gap or overlap,
because every byte is in the journal before the emulator takes it, and both have taken the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from meshd_core.contracts.filters import OutputFilter
from meshd_core.errors import Forbidden, SlotNotFound, SlotNotRunning
from meshd_core.slots.hands import Hands
from meshd_core.slots.lifecycle import Lifecycle
from meshd_core.slots.output import Output
from meshd_core.slots.terminal_input import TerminalInput, typed
from meshd_core.terminal.journal import Journal
from meshd_core.types import ExitStatus, Size, Status


class Painted(Struct, frozen=True):
    """The screen as bytes; what follows is at `position` of the raw bytes."""

    data: bytes
    position: int
    alternate: bool


class Ended(Struct, frozen=True):
    """How the newest run that is over ended, and where its output did; `run` counts as `runs` does."""

    run: int
    exit: ExitStatus
    pid: int
    position: int


class Writer:
    """One attached terminal that may type; made by `SharedTerminal.writing`."""

    def __init__(self, terminal: "SharedTerminal", hands: Hands) -> None:
        self._terminal, self._hands = terminal, hands
        self._input = TerminalInput()
        self.size: Size | None = None
        self.bytes_written = 0

    async def write(self, data: bytes) -> None:
        """Pass on what the person typed. Raises SlotNotRunning, Overloaded (the agent is not reading)."""
        keys = self._input.keys(data)
        if keys:
            await self._hands.pass_on(keys, typed=typed(keys))
            self.bytes_written += len(keys)

    def resize(self, size: Size) -> None:
        """Give the agent's terminal this size for as long as this writer is the last to have asked."""
        self.size = size
        self._terminal.take_size(self, by=self)


class SharedTerminal:
    """Made once for the slot; spans runs of the agent. `filters` are those of the slot now, `allowed` its setting."""

    def __init__(
        self, slot: str, journal: Journal, output: Output, life: Lifecycle, hands: Hands,
        filters: Callable[[], Sequence[OutputFilter]], raw_allowed: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._slot = slot
        self._journal, self._output, self._life, self._hands = journal, output, life, hands
        self._filters, self._raw_allowed = filters, raw_allowed
        self._watchers: set[Callable[[], None]] = set()
        self._writers: list[Writer] = []
        self._painted: Painted | None = None
        self._owner: Writer | None = None
        self._closed = False
        self.resized_by: Writer | None = None
        """Whose own terminal had the present size before the agent's was given it."""
        self.runs = 0
        """Counts the runs that began under this daemon."""
        self.ended: Ended | None = None

    # -- what the slot tells --

    def changed(self) -> None:
        """There was output, or the size or status changed."""
        self._painted = None
        for watcher in tuple(self._watchers):
            watcher()

    def run_began(self) -> None:
        """A run of the agent began or was adopted; it gets the size of whoever is attached."""
        self.runs += 1
        if sized := [writer for writer in self._writers if writer.size is not None]:
            self.take_size(sized[-1], by=None)
        self.changed()

    def run_ended(self, status: ExitStatus, pid: int) -> None:
        """The run is over; all of its output is in the journal."""
        self.ended = Ended(self.runs, status, pid, self._journal.raw_head)
        self.changed()

    # -- reading --

    @property
    def head(self) -> int:
        """Position after the newest raw byte."""
        return self._journal.raw_head

    @property
    def tail(self) -> int:
        """Position of the oldest raw byte held."""
        return self._journal.raw_tail

    @property
    def size(self) -> Size:
        return self._output.size

    @property
    def alternate(self) -> bool:
        """Whether the program is on the alternate screen; nothing of the other one is in a painted screen then."""
        return self._output.alternate

    @property
    def status(self) -> Status:
        return self._life.status

    @property
    def pid(self) -> int | None:
        return None if self._life.child is None else self._life.child.pid

    def read(self, start: int, end: int) -> bytes:
        """Raw bytes from `start` to `end`, which are held."""
        return self._journal.raw(start, end)

    def painted(self) -> Painted:
        """The screen now. Shared by all who ask before anything changes."""
        if self._painted is None:
            self._painted = Painted(self._output.painted(), self.head, self.alternate)
        return self._painted

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have `on_change` called whenever there may be something new. Call the result to end it."""
        self._watchers.add(on_change)
        return lambda: self._watchers.discard(on_change)

    def require_running(self) -> None:
        """Raises SlotNotRunning."""
        if self._life.master is None:
            hint = f"'meshd start {self._slot}' starts its agent"
            raise SlotNotRunning(f"slot {self._slot} is {self.status}", hint=hint)

    def close(self) -> None:
        """The slot is no more: whoever is attached is let go of."""
        self._closed = True
        self.changed()

    def require_raw(self) -> None:
        """Raises Forbidden while a filter that fails closed is set (raw bytes would go past it), SlotNotFound once the
        slot is no more. To be asked before each reading: a reload may change both.
        """
        if self._closed:
            raise SlotNotFound(self._slot)
        if self._raw_allowed():
            return
        for found in self._filters():
            if not found.fail_open:
                raise Forbidden(
                    f"the filter {found.name!r} of {self._slot} would be passed by: raw bytes can't be filtered",
                    hint='raw = "allow" in its [[slots]] entry permits it', slot=self._slot,
                )  # fmt: skip

    # -- writing --

    @contextmanager
    def writing(self, size: Size | None) -> Iterator[Writer]:
        """Be a terminal that may type, of this size. The last one that leaves gives the configured size back."""
        writer = Writer(self, self._hands)
        self._writers.append(writer)
        try:
            if size is not None:
                writer.resize(size)
            yield writer
        finally:
            self._writers.remove(writer)
            self._left(writer)

    def take_size(self, writer: Writer, by: Writer | None) -> None:
        """Give the terminal `writer`'s size, if it has one and the agent runs; `by`: who asked for it just now."""
        if writer.size is not None and self._life.master is not None:
            self._writers.remove(writer)
            self._writers.append(writer)
            self._owner = writer
            self._resize(writer.size, by)

    def _left(self, writer: Writer) -> None:
        if self._owner is not writer:
            return
        self._owner = None
        others = [other for other in self._writers if other.size is not None]
        if others:
            self.take_size(others[-1], by=None)
        elif self._life.master is not None:
            self._resize(self._life.configured_size(), None)

    def _resize(self, size: Size, by: Writer | None) -> None:
        self.resized_by = by
        if size != self.size:
            self._life.resize(size)
