"""A slot's event stream that resumes by itself, exactly after the last event that was handed out.

The daemon may be restarted, the network may go away: the stream comes back with `Last-Event-ID` and says so with a
`gap` event where something is no longer held. 45 s without a byte count as lost: the daemon sends a comment each 15 s.
"""

import http.client
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from meshd_core.client.answers import BadAnswer, Unreachable, error_from
from meshd_core.client.connection import ANSWER_TIMEOUT_S, MAX_ANSWER_BYTES, Endpoint
from meshd_core.client.events import Event, typed
from meshd_core.client.sse import SseParser, TooLong
from meshd_core.errors import MeshdError

SILENCE_S = 45.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
_READ_BYTES = 65536
_AWAY_STATUSES = frozenset({502, 503, 504})


class Start(Struct, frozen=True):
    """Where a stream begins: `target` for the first connection, `position` to resume at until an event had an id."""

    target: str
    """Path and query without a cursor: what a resumed connection asks for."""
    cursor: str = ""
    """The query's cursor part, as `tail=10`; used only while there is no position."""
    position: str | None = None
    opening_position: str | None = None
    """A position to resume at if the first connection ends before any event that has an id."""


class EventStream:
    """Iterate over it once. Raises `Unreachable` only if the very first connection fails, then it keeps trying."""

    def __init__(
        self,
        endpoint: Endpoint,
        start: Start,
        *,
        deadline_s: float | None = None,
        silence_s: float = SILENCE_S,
        on_away: Callable[[Exception], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._start = start
        self._ends_at = None if deadline_s is None else time.monotonic() + deadline_s
        self._silence_s = silence_s
        self._on_away = on_away
        self._position = start.position
        self._opened = False
        self._pause_s = FIRST_PAUSE_S

    def __iter__(self) -> Iterator[Event]:
        """The events; ends when the deadline passes. Raises MeshdError for a refusal, BadAnswer for nonsense."""
        while not self._over():
            try:
                yield from self._connected()
                lost: Exception = Unreachable(self._endpoint.address, "the stream ended")
            except (OSError, http.client.HTTPException) as error:
                if not self._opened:
                    raise self._never_began(error) from error
                lost = error
            except MeshdError as error:
                if not self._opened or error.status not in _AWAY_STATUSES:
                    raise
                lost = error
            if self._over():
                return
            if self._on_away is not None:
                self._on_away(lost)
            time.sleep(self._within_deadline(self._pause_s))
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _connected(self) -> Iterator[Event]:
        connection = self._endpoint.open()
        try:
            sock = connection.sock  # http.client forgets it once an answer says that it is the last
            response = self._ask(connection)
            if not self._opened:
                self._opened = True
                self._position = self._position or self._start.opening_position
            parser = SseParser()
            while not self._over():
                sock.settimeout(self._within_deadline(self._silence_s))
                chunk = response.read1(_READ_BYTES)
                if not chunk:
                    return
                for raw in parser.feed(chunk):
                    event = typed(raw, self._endpoint.address)
                    if raw.id and raw.id.isascii() and raw.id.isprintable():  # else no header could carry it
                        self._position = raw.id
                    self._pause_s = FIRST_PAUSE_S
                    if event is not None:
                        yield event
        except TooLong as error:
            raise BadAnswer(f"{self._endpoint.address}: {error}") from error
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        headers = self._endpoint.headers() | {"Accept": "text/event-stream"}
        target, cursor = self._start.target, self._start.cursor
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        elif cursor:
            target += ("&" if "?" in target else "?") + cursor
        connection.sock.settimeout(self._within_deadline(ANSWER_TIMEOUT_S))
        connection.request("GET", self._endpoint.prefix + target, headers=headers)
        response = connection.getresponse()
        if response.status >= 400:
            raise error_from(response.status, response.read(MAX_ANSWER_BYTES), self._endpoint.address)
        if response.status != 200 or not response.getheader("Content-Type", "").startswith("text/event-stream"):
            raise BadAnswer(f"{self._endpoint.address} answered {response.status}, not with a stream")
        return response

    def _never_began(self, error: OSError | http.client.HTTPException) -> Exception:
        if isinstance(error, Unreachable):
            return error
        if isinstance(error, OSError):
            return Unreachable(self._endpoint.address, str(error) or type(error).__name__)
        return BadAnswer(f"{self._endpoint.address} does not answer as HTTP should: {error!r}")

    def _over(self) -> bool:
        return self._ends_at is not None and time.monotonic() >= self._ends_at

    def _within_deadline(self, seconds: float) -> float:
        return seconds if self._ends_at is None else max(0.01, min(seconds, self._ends_at - time.monotonic()))
