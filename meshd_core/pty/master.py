"""One terminal's master on the loop: reads as they come, ordered non-blocking writes.

The kernel holds only some KiB for an agent that is not reading, so a write can take several turns of the loop, or end
half-done in its timeout.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable

from meshd_core.pty.errors import WriteClosed, WriteOverflow, WriteTimeout
from meshd_core.types import Size

MAX_PENDING_BYTES = 1024 * 1024
WRITE_CHUNK_BYTES = 64 * 1024
SPURIOUS_PAUSE_S = 0.01
READS_PER_S = 12.0
READ_BURST = 12.0
SMALL_READ_BYTES = 4000
"""A program that trickles output is read at most this often once a burst is used up: what a read costs does not depend
on its size. Large reads, and what follows our own writes, are never held up."""
MAX_ANSWERS_BYTES = 4096


class Master:
    """Owns `fd`, which must be non-blocking, until `close`. All methods belong to the loop's thread."""

    def __init__(
        self, fd: int, read: Callable[[int], int], on_end: Callable[[], None], max_pending: int = MAX_PENDING_BYTES
    ) -> None:
        """`read(fd)` does one non-blocking read and returns its byte count; one call a turn of the loop, so that no
        terminal starves the others. `on_end` is called once when no program has the terminal open (EIO or 0 bytes),
        which is not the agent's exit; `resume` looks again. Any other OSError of `read` pauses and goes to the loop.
        """
        self._fd = fd
        self._read = read
        self._on_end = on_end
        self._max_pending = max_pending
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._ended = False
        self._lock = asyncio.Lock()
        self._budget, self._budget_at = READ_BURST, self._loop.time()
        self._paced: asyncio.TimerHandle | None = None
        self._pending = 0
        self._blocked: asyncio.Future[None] | None = None
        """What the write in progress waits for."""
        self._answers = b""
        """Answers that wait for the write in progress, so that none lands inside it."""

    @property
    def closed(self) -> bool:
        return self._fd < 0

    @property
    def fd(self) -> int:
        """The descriptor; negative once closed."""
        return self._fd

    @property
    def ended(self) -> bool:
        """Whether the last read found that no program has the terminal open."""
        return self._ended

    # -- reading ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read."""
        self.resume()

    def pause(self) -> None:
        """Stop reading; the agent blocks once the kernel's buffer is full. Idempotent."""
        if self._paced is not None:
            self._paced.cancel()
            self._paced = None
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again, also after the end: a program may have opened the terminal anew. Idempotent."""
        if self._paced is not None:
            self._paced.cancel()
            self._paced = None
        if not self._reading and not self.closed:
            self._ended = False
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            count = self._read_once()
            if 0 < count < SMALL_READ_BYTES and self._reading:
                self._pace()

    def _pace(self) -> None:
        """Take one read from the budget; if none is left, read on when there is one again."""
        now = self._loop.time()
        self._budget = min(READ_BURST, self._budget + (now - self._budget_at) * READS_PER_S) - 1
        self._budget_at = now
        if self._budget < 0:
            self.pause()
            self._paced = self._loop.call_later(-self._budget / READS_PER_S, self._read_on)

    def _read_on(self) -> None:
        self.resume()
        self._readable()  # at once: most likely there is something, and a turn of the loop costs as much as the read

    def _read_once(self) -> int:
        """Raises BlockingIOError if there is nothing now."""
        try:
            count = self._read(self._fd)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno != errno.EIO:
                # Where the bytes go failed, not the terminal: don't come back here at once and for ever.
                self.pause()
                raise
            count = 0
        if count == 0:
            self._end()
        return count

    def _end(self) -> None:
        self.pause()
        if not self._ended:
            self._ended = True
            self._on_end()

    def drain(self, budget_bytes: int) -> int:
        """After the exit notice: read on at once until nothing is left or the budget is spent; how many bytes.

        Less than the budget means that nothing was left; then the fd can be closed without losing what the agent said.
        """
        total = 0
        with contextlib.suppress(BlockingIOError):
            while total < budget_bytes and not self.closed:
                count = self._read_once()
                if count == 0:
                    break
                total += count
        return total

    # -- writing ---------------------------------------------------------------------------------------------------

    async def write(self, data: bytes, timeout_s: float | None) -> None:
        """Write all of `data`, after the writes that were asked for before. `timeout_s` covers that wait, too.

        Raises WriteOverflow if more than `max_pending` bytes would wait, WriteTimeout, WriteClosed. Their `written`
        says how much of `data` is in the terminal; a cancelled write may have put any part of it there.
        """
        if self._pending + len(data) > self._max_pending:
            raise WriteOverflow(f"{self._pending} bytes wait for this terminal already", 0, len(data))
        progress = _Progress(data)
        self._budget = READ_BURST
        if self._paced is not None:
            self.resume()
        if not self._lock.locked() and self._take_at_once(progress):
            return
        self._pending += len(data)
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                await self._write_all(progress)
                self._flush_answers()
        except TimeoutError:
            raise WriteTimeout("the terminal took no more in time", progress.written, len(data)) from None
        finally:
            self._pending -= len(data)

    def _take_at_once(self, progress: "_Progress") -> bool:
        """The usual case, without a timer and a turn of the loop: the terminal takes everything."""
        if self.closed:
            return False
        try:
            progress.written = os.write(self._fd, progress.data[:WRITE_CHUNK_BYTES])
        except OSError:
            return False  # whatever it is, the long way tells
        return progress.written == len(progress.data)

    def answer(self, data: bytes) -> None:
        """Send the terminal's answer to a query of the program, never inside a write in progress.

        Dropped if the program isn't reading: it would not miss it, and nothing may pile up for it.
        """
        if len(self._answers) + len(data) <= MAX_ANSWERS_BYTES:
            self._answers += data
        if not self._lock.locked():
            self._flush_answers()

    def _flush_answers(self) -> None:
        data, self._answers = self._answers, b""
        if data and not self.closed:
            with contextlib.suppress(OSError):
                os.write(self._fd, data)

    async def _write_all(self, progress: "_Progress") -> None:
        view = memoryview(progress.data)
        fruitless = False
        while progress.written < len(view):
            if self.closed:
                raise WriteClosed("the terminal was closed", progress.written, len(view))
            try:
                count = os.write(self._fd, view[progress.written : progress.written + WRITE_CHUNK_BYTES])
            except BlockingIOError:
                if fruitless:
                    # Said to be writable and was not: don't spin on it.
                    await asyncio.sleep(SPURIOUS_PAUSE_S)
                await self._writable()
                fruitless = True
            except OSError as error:
                raise WriteClosed(
                    f"the terminal can't be written: {error.strerror}", progress.written, len(view)
                ) from error
            else:
                progress.written += count
                fruitless = False

    async def _writable(self) -> None:
        """Wait until the terminal takes something or is closed."""
        if self.closed:
            return
        fd, future = self._fd, self._loop.create_future()
        self._blocked = future
        self._loop.add_writer(fd, _set, future)
        try:
            await future
        finally:
            self._blocked = None
            if self._fd == fd:
                self._loop.remove_writer(fd)

    # -- the rest --------------------------------------------------------------------------------------------------

    def resize(self, rows: int, cols: int) -> None:
        """Set the terminal's size; its foreground programs get SIGWINCH. Raises OSError."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def close(self) -> None:
        """Stop everything and close the fd; a write in progress raises WriteClosed. Idempotent."""
        if self.closed:
            return
        self.pause()
        if self._blocked is not None:
            self._loop.remove_writer(self._fd)
            _set(self._blocked)
        os.close(self._fd)
        self._fd = -1


def terminal_size(fd: int) -> Size | None:
    """The size of the terminal whose master is `fd`; None if it was never told one. Raises OSError."""
    rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return Size(rows=rows, cols=cols) if rows and cols else None


class _Progress:
    __slots__ = ("data", "written")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.written = 0


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
