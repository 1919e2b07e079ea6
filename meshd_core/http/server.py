"""The uvicorn server on sockets that are bound already. The daemon owns signals; the end takes at most 10 s.

An open stream keeps uvicorn from ending, and lifespan events come too late to help: so the app is told first, streams
say `bye`, and what hangs after that is cancelled.
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Generator, Sequence

import uvicorn
from uvicorn.config import Config
from uvicorn.server import ServerState

from meshd_core.clock import monotonic
from meshd_core.contracts.daemon import DaemonCounters
from meshd_core.http.app import HttpApp
from meshd_core.http.gate import GateRules
from meshd_core.http.limits import Admission
from meshd_core.http.listen import BACKLOG
from meshd_core.http.listening_socket import ListeningSocket
from meshd_core.http.protocol import MAX_INCOMPLETE_BYTES, MeshdProtocol

KEEP_ALIVE_S = 15
GRACE_S = 7
"""How long requests may go on after the end was asked for."""
_RESERVED_FDS = 256
_DATE_EVERY_S = 1.0
_MOST_CONNECTIONS = 8192


class HttpServer(uvicorn.Server):
    """Serve with `serve_on`, end with `stop`; `ready` is set once all sockets accept."""

    def __init__(self, app: HttpApp, admission: Admission | None = None) -> None:
        self._http = app
        self._began = monotonic()
        self.admission = admission or Admission(_connection_limit())
        self.ready = asyncio.Event()
        self._stop = asyncio.Event()
        super().__init__(_config(app, self.admission))

    async def serve_on(self, sockets: Sequence[ListeningSocket]) -> None:
        """Accept on `sockets` until `stop`, then end within 10 s: streams first, then what is left. Closes them."""
        for sock in sockets:
            sock.make_room = self.admission.make_room
        try:
            await self.serve(sockets=list(sockets))
        finally:
            self._http.close()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            self._http.release()

    def configure(self, rules: GateRules, audit_text: bool) -> None:
        """See `HttpApp.configure`."""
        self._http.configure(rules, audit_text)

    def counters(self) -> DaemonCounters:
        """What metrics tell of the daemon as a whole."""
        counted = self._http.counters
        return DaemonCounters(
            uptime_s=monotonic() - self._began, requests=counted.requests, requests_failed=counted.failed,
            auth_failures=counted.auth_failures, connections=len(self.server_state.connections),
            streams=self._http.hub.readers(), audit_lost=self._http.audit_lost,
        )  # fmt: skip

    def stop(self) -> None:
        """Begin the end; returns at once. Streams are told, no new connections are taken."""
        self.should_exit = True
        self._stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """uvicorn's own wakes ten times a second; here once, for the Date header, and at once for the end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_EVERY_S):
                    await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._http.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the daemon's."""
        yield


def _config(app: HttpApp, admission: Admission) -> Config:
    class Bound(MeshdProtocol):
        """The protocol with this server's admission; uvicorn makes instances by itself."""

        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, object],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, _loop, admission=admission, request_ids=app.request_ids)

    return Config(
        app,
        http=Bound,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # a line for each malformed request would let anyone fill the disk
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=MAX_INCOMPLETE_BYTES,
    )


def _connection_limit() -> int:
    """Connections that leave file descriptors for slots, the keeper and files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(64, min(soft - _RESERVED_FDS, _MOST_CONNECTIONS))
