"""One attached terminal: the painted screen first, then the agent's bytes as they come, and keys the other way.

The reader is a cursor into the slot's raw ring. One that is too slow is told of the gap and gets the screen anew, so
that what it shows is right again; nothing piles up for it meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from meshd_core.errors import Forbidden, InvalidField, MeshdError
from meshd_core.http.service import SharedTerminal, TerminalWriter
from meshd_core.http.websocket import Closed, WebSocket
from meshd_core.types import (
    Attached,
    AttachError,
    AttachExit,
    AttachGap,
    AttachMessage,
    AttachRequest,
    AttachResize,
    AttachStarted,
    Size,
)

SEND_BYTES = 16 * 1024
"""Most terminal bytes of one frame: with what the kernel takes, all that a stalled reader costs."""
CHECK_EVERY_S = 4.0
GOING_AWAY, POLICY, UNSUPPORTED = 1001, 1008, 1011


class AttachSession:
    """Serves one attached terminal until either side ends it. `writer` None: it may only look."""

    def __init__(
        self, socket: WebSocket, terminal: SharedTerminal, hello: Attached, writer: TerminalWriter | None,
        allowed: Callable[[], Awaitable[bool]], closing: asyncio.Event,
    ) -> None:  # fmt: skip
        self._socket, self._terminal, self._hello, self._writer = socket, terminal, hello, writer
        self._allowed, self._closing = allowed, closing
        self._changed = asyncio.Event()
        self._position = 0
        self._size = Size(rows=hello.rows, cols=hello.cols)  # the size that the client was told last, or gave itself
        self._alternate = False
        self._runs = terminal.runs
        self._ended = terminal.ended

    async def run(self) -> Closed:
        """Everything after the handshake; how it ended."""
        unwatch = self._terminal.watch(self._changed.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._send(), self._receive(), self._guard(), self._drain()):
                    tasks.create_task(work)
        except* Closed as ends:
            closed = _first(ends)
        finally:
            unwatch()
        await self._socket.close(closed.code, closed.reason)
        return closed

    # -- to the client --

    async def _send(self) -> None:
        await self._tell(self._hello)
        await self._paint()
        while True:
            self._changed.clear()
            self._require_raw()
            if not await self._send_next():
                await self._changed.wait()

    async def _send_next(self) -> bool:
        """Send whatever is due first; False if nothing is."""
        terminal = self._terminal
        ended = terminal.ended if terminal.ended is not self._ended else None
        end = terminal.head if ended is None else ended.position
        if terminal.tail > self._position:
            lost, self._position = terminal.tail - self._position, terminal.tail
            await self._tell(AttachGap(lost_bytes=lost))
            await self._paint()
        elif self._position < end:
            upto = min(end, self._position + SEND_BYTES)
            data, self._position = terminal.read(self._position, upto), upto
            await self._socket.send(data)
        elif ended is not None and ended.run == self._runs:
            if terminal.status == "stopping":
                return False  # what follows, a start or none, shows once all processes of the run are gone
            self._ended = ended
            await self._tell(AttachExit(exit=ended.exit, pid=ended.pid, status=terminal.status))
        elif terminal.runs != self._runs:
            # A run can be over before its begin was told: its end follows.
            self._runs, pid = (terminal.runs, terminal.pid) if ended is None else (ended.run, ended.pid)
            await self._tell(AttachStarted(pid=pid))
            await self._paint()
        elif terminal.size != self._size:
            await self._resized()
        elif self._alternate and not terminal.alternate:
            await self._paint()  # the primary screen comes back, of which this reader has seen nothing
        else:
            return False
        return True

    async def _resized(self) -> None:
        self._size = self._terminal.size
        if self._writer is not None and self._terminal.resized_by is self._writer:
            return  # its own terminal has this size already, and has rewrapped its lines
        await self._tell(AttachResize(rows=self._size.rows, cols=self._size.cols))
        await self._paint()

    async def _paint(self) -> None:
        self._require_raw()
        painted = self._terminal.painted()
        self._position, self._alternate = painted.position, painted.alternate
        for start in range(0, len(painted.data), SEND_BYTES):
            await self._socket.send(painted.data[start : start + SEND_BYTES])

    async def _tell(self, message: AttachMessage) -> None:
        await self._socket.send(msgspec.json.encode(message).decode())

    # -- from the client --

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            try:
                if self._writer is None:
                    raise Forbidden("this terminal is attached to look only", hint="attach without mode=view")
                if isinstance(message, bytes):
                    await self._writer.write(message)
                else:
                    request = _decoded(message)
                    self._writer.resize(Size(rows=request.rows, cols=request.cols))
            except MeshdError as error:
                await self._tell(AttachError(code=error.code, message=error.message, hint=error.hint))

    # -- ends --

    async def _guard(self) -> None:
        """End it soon after its credential ended, or the slot may not be shown raw any more."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            if not await self._allowed():
                raise Closed(POLICY, "the credential ended or no longer reaches this slot")
            self._require_raw()

    def _require_raw(self) -> None:
        try:
            self._terminal.require_raw()
        except MeshdError as error:
            raise Closed(POLICY, error.message) from error

    async def _drain(self) -> None:
        await self._closing.wait()
        raise Closed(GOING_AWAY, "draining")


def _decoded(text: str) -> AttachRequest:
    try:
        return msgspec.json.decode(text, type=AttachRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidField(f"this is no message that can be sent here: {error}") from error


def _first(group: BaseExceptionGroup[Closed]) -> Closed:
    """The reason that came first, of however many came at once."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
