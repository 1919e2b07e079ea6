"""The write side of one slot's terminal, and what must be seen while typing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from meshd_core.pty.errors import WriteClosed
from meshd_core.pty.master import Master
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.output import Output
from meshd_core.terminal.journal import Journal

KEYS_WAIT_S = 3.0
"""How long keys wait for a prompt that is being typed; longer than that takes with an agent that reads."""


class Keyboard:
    """What `typist.Terminal` asks for, over a slot's parts. `master` gives the terminal of the present run, `redraw`
    makes its agent draw the whole screen.
    """

    def __init__(
        self, journal: Journal, output: Output, tracker: ActivityTracker, master: Callable[[], Master | None],
        redraw: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._journal, self._output, self._tracker, self._master = journal, output, tracker, master
        self._redraw = redraw
        self._worked = asyncio.Event()
        self._turn = asyncio.Lock()
        self.bytes_written = 0
        self.keys_written = 0
        """Counts the writes that were not a prompt's."""
        self.unsent = False
        """Whether a person's keys since the last Enter may stand in an input box that can't be read."""

    @property
    def worked(self) -> int:
        return self._tracker.worked

    @property
    def dialog_open(self) -> bool:
        return self._tracker.activity.state in ("waiting", "onboarding")

    @property
    def at_work(self) -> bool:
        return self._tracker.activity.state in ("busy", "stuck")

    @property
    def raw_head(self) -> int:
        return self._journal.raw_head

    @property
    def last_n(self) -> int:
        return self._journal.last_n

    @property
    def connected(self) -> bool:
        """Whether there is an agent that can be written to."""
        return self._master() is not None

    @property
    def application_cursor(self) -> bool:
        return self._output.application_cursor

    @property
    def bracketed_paste(self) -> bool:
        return self._output.bracketed_paste

    def typed_text(self) -> str:
        return self._output.typed_text()

    def lines_after(self, n: int) -> list[str]:
        """The lines since number `n`."""
        return self._output.lines_after(n)

    @asynccontextmanager
    async def prompt(self) -> AsyncIterator[None]:
        """Type a prompt inside, from the first byte to the proof that it was taken: keys wait meanwhile."""
        async with self._turn:
            yield

    @asynccontextmanager
    async def keys(self) -> AsyncIterator[None]:
        """Press keys inside: they don't join a prompt that is being typed.

        After `KEYS_WAIT_S` they do: a person must be able to interrupt whatever hangs. `keys_written` tells the typist.
        """
        try:
            async with asyncio.timeout(KEYS_WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            self.keys_written += 1
            yield
            return
        try:
            self.keys_written += 1
            yield
        finally:
            self._turn.release()

    def typed(self, data: bytes) -> None:
        """A person's keys `data` were written. What Enter or Ctrl-C ends leaves no draft."""
        self.unsent = not data.endswith((b"\r", b"\n", b"\x03"))

    def screen_rows(self) -> list[str]:
        """The rows for people, filtered: they go into receipts."""
        return self._output.screen().rows

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Write to the terminal in order. Raises WriteError (with how much went), OSError."""
        master = self._master()
        if master is None:
            raise WriteClosed("the agent has ended", 0, len(data))
        await master.write(data, timeout_s)
        self.bytes_written += len(data)

    async def redraw(self) -> None:
        """Make the agent draw its whole screen."""
        await self._redraw()

    def answer(self, data: bytes) -> None:
        """Send the terminal's answer to a program's query; dropped if the program isn't reading."""
        master = self._master()
        if master is not None:
            master.answer(data)

    def activity_changed(self) -> None:
        self._worked.set()

    async def wait_worked(self, past: int, timeout_s: float) -> bool:
        """Wait for a sign of work after the count `past`; False if none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tracker.worked <= past:
                    self._worked.clear()
                    await self._worked.wait()
        except TimeoutError:
            return False
        return True
