"""The daemon's side of the keeper: typed requests, descriptors, exit notices. Closing it leaves every agent alone."""

import asyncio
import itertools
import os
import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from msgspec import DecodeError

from meshd_core.pty.errors import FrameError, KeeperBusy, KeeperError, KeeperLost, SpawnError, UnknownRun
from meshd_core.pty.frames import DATA, JSON, MAX_FRAME_BYTES, Wire
from meshd_core.pty.messages import (
    PROTOCOL,
    Acknowledge,
    Asked,
    Attach,
    Attached,
    Backlog,
    ChildInfo,
    Children,
    Done,
    Exited,
    Failed,
    Forget,
    Hello,
    Kill,
    Killed,
    ListChildren,
    NotSpawned,
    Outbound,
    Pids,
    Processes,
    Refused,
    Shutdown,
    Spawn,
    Spawned,
    SpawnSpec,
    Sweep,
    Swept,
    Take,
    Welcome,
    encoder,
    outbound_decoder,
)
from meshd_core.pty.starting import start_keeper
from meshd_core.unix_socket import socket_address

REQUEST_TIMEOUT_S = 10.0
RETRY_S = 0.02
BUSY_GRACE_S = 1.0

T = TypeVar("T", bound=Outbound)


class _Waiting:
    """One request: the future of its answer, and for an `Attached` the bytes and the descriptor that come with it."""

    __slots__ = ("answer", "data", "fd", "future")

    def __init__(self) -> None:
        self.future: asyncio.Future[Outbound] = asyncio.get_running_loop().create_future()
        self.answer: Outbound | None = None
        self.data = bytearray()
        self.fd: int | None = None

    def finish(self) -> None:
        """Deliver; whoever gave up waiting can't take the descriptor any more."""
        if self.future.done():
            self.drop_fd()
        elif self.answer is not None:
            self.future.set_result(self.answer)

    def drop_fd(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class KeeperClient:
    """One attached connection. All methods raise KeeperLost once it ended, UnknownRun for a run that is not there,
    and KeeperError if the keeper does not answer in time. To be used on the loop that it was connected on.
    """

    def __init__(self, wire: Wire) -> None:
        """Use `connect`."""
        self.closed = asyncio.Event()
        """Set when the connection ended, for whatever reason."""
        self.keeper_pid = 0
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._encoder = encoder()
        self._decoder = outbound_decoder()
        self._waiting: dict[int, _Waiting] = {}
        self._collecting: _Waiting | None = None
        """The attach whose data frames are coming."""
        self._writing = False
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._exit_callbacks: list[Callable[[ChildInfo], None]] = []
        self._lost_callbacks: list[Callable[[], None]] = []

    # -- connection ------------------------------------------------------------------------------------------------

    @classmethod
    async def connect(cls, socket: Path, *, start: bool = True, timeout_s: float = 10.0) -> Self:
        """Attach to the keeper at `socket`; with `start`, start one if none listens.

        Raises KeeperBusy if another daemon that lives is attached, and KeeperError if none is there and none could be
        started, or it speaks another protocol.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        busy_until = min(deadline, loop.time() + BUSY_GRACE_S)
        while True:
            client = cls(Wire(await cls._open(socket, start, deadline)))
            try:
                await client._greet(deadline)
            except (KeeperLost, KeeperBusy) as error:
                # A keeper or daemon that was killed just now closes its descriptors one after the other.
                if loop.time() > (busy_until if isinstance(error, KeeperBusy) else deadline):
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                return client
            finally:
                if not client.keeper_pid:
                    client._end(KeeperLost("the connection was given up"), lost=False)

    @staticmethod
    async def _open(path: Path, start: bool, deadline: float) -> sockets.socket:
        loop = asyncio.get_running_loop()
        while True:
            sock = sockets.socket(sockets.AF_UNIX)
            sock.setblocking(False)
            try:
                with socket_address(path) as address:
                    sock.connect(address)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as error:
                sock.close()
                left = deadline - loop.time()
                if left <= 0 or not start:
                    raise KeeperError(f"no keeper answers at {path}: {error.strerror}") from error
                if not isinstance(error, BlockingIOError):
                    await start_keeper(path, left)
                await asyncio.sleep(RETRY_S)
            except OSError as error:
                sock.close()
                raise KeeperError(f"the keeper's socket {path} can't be used: {error.strerror}") from error
            else:
                return sock

    async def _greet(self, deadline: float) -> None:
        self._loop.add_reader(self._wire.sock, self._readable)
        self._send(Hello(protocol=PROTOCOL, pid=os.getpid()))
        try:
            async with asyncio.timeout_at(deadline):
                welcome = await self._welcome
        except TimeoutError:
            raise KeeperError("the keeper took the connection but does not answer") from None
        self.keeper_pid = welcome.pid

    async def close(self) -> None:
        """End the connection. The keeper drains from now on; agents and keeper go on. Idempotent."""
        self._end(KeeperLost("the connection to the keeper was closed"), lost=False)

    def on_exit(self, callback: Callable[[ChildInfo], None]) -> None:
        """Call `callback` on the loop when a run's agent ended, while attached."""
        self._exit_callbacks.append(callback)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the loop if the keeper goes away. Then connect to a new one and `take` what we hold."""
        self._lost_callbacks.append(callback)

    def _end(self, error: KeeperError, *, lost: bool) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        self._loop.remove_reader(self._wire.sock)
        self._loop.remove_writer(self._wire.sock)
        self._wire.close()
        waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            one.drop_fd()
            if not one.future.done():
                one.future.set_exception(error)
        if not self._welcome.done():
            self._welcome.set_exception(error)
            self._welcome.exception()
        if lost:
            for callback in self._lost_callbacks:
                callback()

    # -- requests --------------------------------------------------------------------------------------------------

    async def children(self) -> list[ChildInfo]:
        """All runs that were not forgotten, alive and ended."""
        return self._as(Children, await self._ask(ListChildren(id=next(self._ids)))).children

    async def spawn(self, spec: SpawnSpec) -> tuple[ChildInfo, int]:
        """Start an agent: its run and its master, which is the caller's, non-blocking and not inherited.

        Raises SpawnError; then nothing is left of it. If the caller is cancelled after the request went out, the
        agent may run and is found by `children`.
        """
        waiting = await self._exchange(Spawn(id=next(self._ids), spec=spec))
        answer = waiting.answer
        if isinstance(answer, NotSpawned):
            raise SpawnError(answer.reason, answer.message)
        child = self._as(Spawned, answer).child
        assert waiting.fd is not None
        return child, waiting.fd

    async def attach(self, run: str) -> tuple[Backlog, int | None]:
        """Adopt a run: what it printed while nobody read, and its master (the caller's); None once the agent ended
        and its terminal is drained and closed.

        The keeper has stopped reading. Store the backlog, `acknowledge` it, and only then read from the master.
        """
        waiting = await self._exchange(Attach(id=next(self._ids), run=run))
        answer = self._as(Attached, waiting.answer)
        backlog = Backlog(
            gen=answer.gen, data=bytes(waiting.data), lost_bytes=answer.lost_bytes, start=answer.start
        )  # fmt: skip
        return backlog, waiting.fd

    async def acknowledge(self, run: str, gen: int) -> None:
        """The backlog `gen` is stored: the keeper frees it."""
        self._as(Done, await self._ask(Acknowledge(id=next(self._ids), run=run, gen=gen)))

    async def kill(self, run: str, sig: int) -> bool:
        """Signal the agent's process group; False if the agent has ended."""
        return self._as(Killed, await self._ask(Kill(id=next(self._ids), run=run, sig=sig))).sent

    async def sweep(self, run: str, sig: int) -> int:
        """Signal every process of the run, wherever it is (0: only count). How many there were: repeat until 0.

        Works for a run that was forgotten, too.
        """
        return self._as(Swept, await self._ask(Sweep(id=next(self._ids), run=run, sig=sig))).found

    async def processes(self, run: str) -> list[int]:
        """Pids of the living processes of the run."""
        return self._as(Pids, await self._ask(Processes(id=next(self._ids), run=run))).pids

    async def forget(self, run: str) -> None:
        """Drop the run's status and close the keeper's master: an agent that lives on loses its terminal."""
        self._as(Done, await self._ask(Forget(id=next(self._ids), run=run)))

    async def take(self, info: ChildInfo, fd: int) -> None:
        """Give a new keeper an agent whose keeper died; `fd` stays the caller's. Its exit will be `status_known` false;
        if it has ended already, the exit notice comes at once.
        """
        self._as(Done, await self._ask(Take(id=next(self._ids), child=info), (os.dup(fd),)))

    async def shutdown(self, *, force: bool = False) -> None:
        """End the keeper. Raises KeeperError while agents live, unless `force`, which kills them."""
        self._as(Done, await self._ask(Shutdown(id=next(self._ids), force=force)))
        await self.close()

    @staticmethod
    def _as(kind: type[T], answer: Outbound | None) -> T:
        if not isinstance(answer, kind):
            raise KeeperError(f"the keeper answered {type(answer).__name__}, not {kind.__name__}")
        return answer

    async def _ask(self, request: Asked, fds: tuple[int, ...] = ()) -> Outbound | None:
        return (await self._exchange(request, fds)).answer

    async def _exchange(self, request: Asked, fds: tuple[int, ...] = ()) -> _Waiting:
        if self.closed.is_set():
            for fd in fds:
                os.close(fd)
            raise KeeperLost("the connection to the keeper has ended")
        self._send(request, fds)
        waiting = self._waiting[request.id] = _Waiting()
        taken = False
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await waiting.future
            taken = True
        except TimeoutError:
            raise KeeperError(f"the keeper did not answer within {REQUEST_TIMEOUT_S:.0f} s") from None
        finally:
            if not taken:
                # Delivered and given up in the same turn: nobody else would close it.
                waiting.drop_fd()
        answer = waiting.answer
        if isinstance(answer, Failed):
            if answer.reason == "unknown_run":
                raise UnknownRun(getattr(request, "run", ""))
            raise KeeperError(answer.message)
        return waiting

    # -- the wire --------------------------------------------------------------------------------------------------

    def _send(self, message: Hello | Asked, fds: tuple[int, ...] = ()) -> None:
        try:
            body = self._encoder.encode(message)
        except UnicodeEncodeError:
            raise SpawnError("arguments", "text that is not valid Unicode") from None
        if len(body) >= MAX_FRAME_BYTES:
            raise SpawnError("arguments", f"arguments and environment of {len(body)} bytes are too long")
        self._wire.queue(JSON, body, fds)
        self._writable()

    def _writable(self) -> None:
        try:
            done = self._wire.flush()
        except OSError:
            # The read side tells what happened, after what is still to be read.
            done = True
        if done and self._writing:
            self._loop.remove_writer(self._wire.sock)
        elif not done and not self._writing:
            self._loop.add_writer(self._wire.sock, self._writable)
        self._writing = not done

    def _readable(self) -> None:
        try:
            for kind, body in self._wire.receive():
                self._frame(kind, body)
        except (OSError, FrameError, DecodeError) as error:
            self._end(KeeperLost(f"the connection to the keeper broke: {error}"), lost=True)
            return
        if self._wire.ended:
            self._end(KeeperLost("the keeper ended"), lost=True)

    def _frame(self, kind: bytes, body: bytes) -> None:
        if self.closed.is_set():
            return
        if kind == DATA:
            self._collect(body)
            return
        message = self._decoder.decode(body)
        match message:
            case Welcome():
                if not self._welcome.done():
                    self._welcome.set_result(message)
            case Refused():
                self._refused(message)
            case Exited(child):
                for callback in self._exit_callbacks:
                    callback(child)
            case _:
                self._answered(message.id, message)

    def _refused(self, refusal: Refused) -> None:
        text = refusal.message
        if refusal.reason == "protocol":
            text += "; end its agents with the meshd that started them ('meshd down'), then start this one"
        self._end(KeeperBusy(text) if refusal.reason == "busy" else KeeperError(text), lost=False)

    def _answered(self, id: int, message: Outbound) -> None:
        has_fd = isinstance(message, Spawned) or (isinstance(message, Attached) and message.open)
        fd = self._wire.take_fd() if has_fd else None
        waiting = self._waiting.get(id)
        if waiting is None:
            raise FrameError("an answer that nobody asked for")
        waiting.answer, waiting.fd = message, fd
        if isinstance(message, Attached) and message.size_bytes:
            self._collecting = waiting
        else:
            del self._waiting[id]
            waiting.finish()

    def _collect(self, body: bytes) -> None:
        waiting = self._collecting
        if waiting is None or not isinstance(waiting.answer, Attached):
            raise FrameError("data that nobody asked for")
        waiting.data += body
        if len(waiting.data) >= waiting.answer.size_bytes:
            self._collecting = None
            del self._waiting[waiting.answer.id]
            waiting.finish()
