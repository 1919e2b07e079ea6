"""The keeper's side of the socket: one daemon at a time, its requests, and the frames that wait for it."""

import os
import selectors
import socket
import time

from msgspec import DecodeError

from meshd_core.pty.children import Child, ChildTable
from meshd_core.pty.errors import FrameError, SpawnError, UnknownRun
from meshd_core.pty.frames import DATA, JSON, Wire
from meshd_core.pty.messages import (
    PROTOCOL,
    Acknowledge,
    Asked,
    Attach,
    Attached,
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
    RefusedReason,
    Shutdown,
    Spawn,
    Spawned,
    Sweep,
    Swept,
    Take,
    Welcome,
    encoder,
    inbound_decoder,
)

HELLO_WITHIN_S = 5.0
MAX_STRANGERS = 8
MAX_CATCH_UP_READS = 100
MAX_PENDING_BYTES = 1024 * 1024
"""While more than this waits for the daemon, its further requests stay in the socket."""


class _Connection:
    """A wire, watched. `since` is when it came; `pid` is set once it said hello and was let in."""

    __slots__ = ("events", "pid", "since", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.since = time.monotonic()
        self.pid = 0
        self.events = 0


class Service:
    """Answers the daemon. `done` turns true when the keeper is to end."""

    def __init__(self, selector: selectors.BaseSelector, children: ChildTable) -> None:
        self._selector = selector
        self._children = children
        self._encoder = encoder()
        self._decoder = inbound_decoder()
        self._daemon: _Connection | None = None
        self._strangers: list[_Connection] = []
        """Connected, not yet let in; the oldest goes when there are too many."""
        self.done = False

    @property
    def attached(self) -> bool:
        """Whether a daemon is there."""
        return self._daemon is not None

    # -- connections -----------------------------------------------------------------------------------------------

    def add(self, sock: socket.socket) -> None:
        connection = _Connection(Wire(sock))
        self._strangers.append(connection)
        self._update(connection)
        if len(self._strangers) > MAX_STRANGERS:
            self._drop(self._strangers[0])

    def expire_strangers(self) -> bool:
        """Drop who connected and says nothing; whether somebody may still have to be dropped."""
        limit = time.monotonic() - HELLO_WITHIN_S
        for connection in [one for one in self._strangers if one.since < limit]:
            self._drop(connection)
        return bool(self._strangers)

    def _update(self, connection: _Connection) -> None:
        """Watch for what can be done: reading unless much waits to be sent, writing while anything does."""
        pending = connection.wire.pending_bytes
        events = 0 if pending > MAX_PENDING_BYTES else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if pending else 0
        if events == connection.events:
            return
        if connection.events:
            self._selector.unregister(connection.wire)
        connection.events = events
        self._selector.register(connection.wire, events, lambda: self._on_event(connection))

    def _drop(self, connection: _Connection) -> None:
        if connection.events:
            self._selector.unregister(connection.wire)
            connection.events = 0
        connection.wire.close()
        if connection in self._strangers:
            self._strangers.remove(connection)
        if connection is self._daemon:
            self._daemon = None
            self._children.release_all()

    def _on_event(self, connection: _Connection) -> None:
        if connection.events:
            self._advance(connection)

    def _advance(self, connection: _Connection) -> bool:
        """Send and receive what is possible now; whether the connection still stands."""
        wire = connection.wire
        try:
            wire.flush()
            if wire.pending_bytes <= MAX_PENDING_BYTES:
                for kind, body in wire.receive():
                    self._frame(connection, kind, body)
                    if not connection.events:
                        return False
            wire.flush()
        except (OSError, FrameError, DecodeError):
            # Gone, or not a daemon: what it had read of a terminal is its own, what comes now we drain.
            self._drop(connection)
            return False
        if wire.ended or self.done:
            self._drop(connection)
            return False
        self._update(connection)
        return True

    def _frame(self, connection: _Connection, kind: bytes, body: bytes) -> None:
        if kind != JSON:
            raise FrameError("the daemon sends no data frames")
        message = self._decoder.decode(body)
        if isinstance(message, Hello):
            self._hello(connection, message)
        elif connection is self._daemon:
            self._request(connection.wire, message)
        else:
            self._refuse(connection, "order", "say hello first")

    def _hello(self, connection: _Connection, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            text = f"the running keeper (pid {os.getpid()}) speaks protocol {PROTOCOL}, not {hello.protocol}"
            self._refuse(connection, "protocol", text)
            return
        held = self._daemon
        # A daemon that died is noticed here even if its end has not been read yet; what it last asked is done first.
        for _ in range(MAX_CATCH_UP_READS):
            if held is None or held is connection or not self._readable(held) or not self._advance(held):
                break
        if self._daemon is not None:
            self._refuse(connection, "busy", f"another daemon (pid {self._daemon.pid}) is attached to this keeper")
            return
        self._strangers.remove(connection)
        connection.pid = hello.pid
        self._daemon = connection
        self._say(connection.wire, Welcome(protocol=PROTOCOL, pid=os.getpid()))

    @staticmethod
    def _readable(connection: _Connection) -> bool:
        if connection.wire.pending_bytes > MAX_PENDING_BYTES:
            return False
        try:
            connection.wire.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _refuse(self, connection: _Connection, reason: RefusedReason, message: str) -> None:
        refusal = Refused(reason=reason, message=message, protocol=PROTOCOL, pid=os.getpid())
        self._say(connection.wire, refusal)
        connection.wire.flush()
        self._drop(connection)

    def _say(self, wire: Wire, message: Outbound, fd: int | None = None) -> None:
        wire.queue(JSON, self._encoder.encode(message), () if fd is None else (fd,))

    def notify(self, info: ChildInfo) -> None:
        """Tell the daemon, if there is one, that a run ended."""
        if self._daemon is not None:
            self._say(self._daemon.wire, Exited(child=info))
            self._advance_output(self._daemon)

    def _advance_output(self, connection: _Connection) -> None:
        try:
            connection.wire.flush()
        except OSError:
            self._drop(connection)
        else:
            self._update(connection)

    # -- requests --------------------------------------------------------------------------------------------------

    def _request(self, wire: Wire, message: Asked) -> None:
        try:
            self._answer(wire, message)
        except UnknownRun as error:
            self._say(wire, Failed(id=message.id, reason="unknown_run", message=str(error)))

    def _answer(self, wire: Wire, message: Asked) -> None:
        match message:
            case ListChildren(id):
                self._say(wire, Children(id=id, children=[child.info for child in self._children]))
            case Spawn():
                self._spawn(wire, message)
            case Attach(id, run):
                self._attach(wire, id, self._children.get(run))
            case Acknowledge(id, run, gen):
                self._children.get(run).backlog.free(gen)
                self._say(wire, Done(id=id))
            case Kill(id, run, sig):
                self._say(wire, Killed(id=id, sent=self._children.kill(run, sig)))
            case Sweep(id, run, sig):
                self._say(wire, Swept(id=id, found=self._children.sweep(run, sig)))
            case Processes(id, run):
                self._say(wire, Pids(id=id, pids=self._children.processes(run)))
            case Forget(id, run):
                self._children.forget(run)
                self._say(wire, Done(id=id))
            case Take(id, child):
                self._children.take(child, wire.take_fd())
                self._say(wire, Done(id=id))
            case Shutdown():
                self._shutdown(wire, message)

    def _spawn(self, wire: Wire, request: Spawn) -> None:
        try:
            child = self._children.spawn(request.spec)
        except SpawnError as error:
            self._say(wire, NotSpawned(id=request.id, reason=error.reason, message=str(error)))
            return
        self._say(wire, Spawned(id=request.id, child=child.info), os.dup(child.master))

    def _attach(self, wire: Wire, id: int, child: Child) -> None:
        self._children.hold(child)
        buffer = child.backlog
        views = buffer.hand_out()
        fd = os.dup(child.master) if child.master >= 0 else None
        answer = Attached(
            id=id,
            gen=buffer.gen,
            lost_bytes=buffer.lost_bytes,
            start=buffer.start,
            size_bytes=buffer.size,
            open=fd is not None,
        )
        self._say(wire, answer, fd)
        for view in views:
            wire.queue(DATA, view)

    def _shutdown(self, wire: Wire, request: Shutdown) -> None:
        living = self._children.living()
        if living and not request.force:
            text = f"{living} agents are alive; end them first"
            self._say(wire, Failed(id=request.id, reason="busy", message=text))
            return
        self._children.end_all()
        self.done = True
        self._say(wire, Done(id=request.id))
