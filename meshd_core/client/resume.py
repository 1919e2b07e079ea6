"""The logic of a stream that resumes by itself, without input or output: both clients' streams are carried by it.

The daemon may be restarted, the network may go away: the stream comes back with `Last-Event-ID`, exactly after the last
event that was handed out. 45 s without a byte count as lost: the daemon sends a comment each 15 s.
"""

import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from meshd_core.client.answers import BadAnswer, NoHttp, Unreachable
from meshd_core.client.call import Call
from meshd_core.client.sse import RawEvent, SseParser, TooLong
from meshd_core.errors import MeshdError

E = TypeVar("E")

SILENCE_S = 45.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
LOSSES = (Unreachable, BadAnswer, MeshdError)
"""What a connection may end with; `Resume.lost` tells which of them the stream survives."""
_AWAY_STATUSES = frozenset({502, 503, 504})


class Start(Struct, Generic[E], frozen=True):
    """Where a stream begins, and what its events are."""

    target: str
    """Path and query without a cursor: what a resumed connection asks for."""
    typed: Callable[[RawEvent, str], E | None]
    """Makes an event of what came, None of a type that isn't known; the second argument is the daemon's address."""
    cursor: str = ""
    """The query's cursor part, as `tail=10`; used only while there is no position."""
    position: str | None = None
    """The id to resume at until an event had one."""
    before: Call[str | None] | None = None
    """To be asked before the first connection: where to resume if that one is lost before any event with an id."""
    deadline_s: float | None = None
    silence_s: float = SILENCE_S
    on_away: Callable[[Exception], None] | None = None
    """Told each time the connection was lost, before the stream comes back."""


class Resume(Generic[E]):
    """The state of one stream: what to ask for next, and what to do about a loss. For one pass only."""

    def __init__(self, start: Start[E], address: str) -> None:
        self.start = start
        self.address = address
        self._ends_at = None if start.deadline_s is None else time.monotonic() + start.deadline_s
        self._position = start.position
        self._opening_position: str | None = None
        self._opened = False
        self._pause_s = FIRST_PAUSE_S
        self._parser = SseParser()

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._ends_at is not None and time.monotonic() >= self._ends_at

    @property
    def silence_s(self) -> float:
        """How long to wait for the next byte."""
        return self.within_deadline(self.start.silence_s)

    def within_deadline(self, seconds: float) -> float:
        """`seconds`, or less if the deadline comes first; never 0, which would mean not to wait at all."""
        return seconds if self._ends_at is None else max(0.01, min(seconds, self._ends_at - time.monotonic()))

    def begin(self, position: str | None) -> None:
        """Take the answer of `start.before`."""
        self._opening_position = position

    def request(self) -> tuple[str, dict[str, str]]:
        """Target and headers of the GET that goes on with the stream."""
        headers, target, cursor = {"Accept": "text/event-stream"}, self.start.target, self.start.cursor
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        elif cursor:
            target += ("&" if "?" in target else "?") + cursor
        return target, headers

    def accept(self, status: int, content_type: str) -> None:
        """The answer's head, of a status below 400. Raises `BadAnswer` if no stream follows."""
        if status != 200 or not content_type.startswith("text/event-stream"):
            raise BadAnswer(f"{self.address} answered {status}, not with a stream")
        self._parser = SseParser()
        if not self._opened:
            self._opened = True
            self._position = self._position or self._opening_position

    def events(self, chunk: bytes) -> Iterator[E]:
        """The events that `chunk` completes; each counts as handed out once it is taken. Raises `BadAnswer`."""
        try:
            found = self._parser.feed(chunk)
        except TooLong as error:
            raise BadAnswer(f"{self.address}: {error}") from error
        for raw in found:
            event = self.start.typed(raw, self.address)
            if raw.id and raw.id.isascii() and raw.id.isprintable():  # else no header could carry it
                self._position = raw.id
            self._pause_s = FIRST_PAUSE_S
            if event is not None:
                yield event

    def lost(self, error: Exception) -> float | None:
        """The connection ended with `error`: seconds to pause before the next, or None if the stream is over.

        Raises `error` if it is final: a refusal, nonsense, or whatever befell the very first connection.
        """
        if not self._opened or _is_final(error):
            raise error
        if self.is_over:
            return None
        if self.start.on_away is not None:
            self.start.on_away(error)
        pause_s = self.within_deadline(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s

    def ended(self) -> Unreachable:
        """The loss that it is when the other end just closes."""
        return Unreachable(self.address, "the stream ended")

    def silent(self) -> Unreachable:
        """The loss that it is when nothing comes any more."""
        return Unreachable(self.address, f"nothing was heard for {self.start.silence_s:g} s")


def _is_final(error: Exception) -> bool:
    if isinstance(error, MeshdError):
        return error.status not in _AWAY_STATUSES
    return isinstance(error, BadAnswer) and not isinstance(error, NoHttp)
