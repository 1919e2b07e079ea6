"""A listening socket that takes callers in a few at a time, and stays useful when no file descriptor is left.

asyncio would accept all that wait in one turn of the loop, and everything else would wait for that.

Without a free descriptor asyncio tries again `backlog` times in a row and logs each failure with a trace (CPython 3.11,
selector_events.py: the loop in `_accept_connection` goes on after EMFILE; 6,000 lines a second, seen in a run). So the
failure is dealt with here and asyncio only hears that nothing waits.
"""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from meshd_core.clock import monotonic

PER_TURN = 8
"""Callers accepted in one turn of the loop."""
LOG_EVERY_S = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
_BODY = (
    b'{"error":{"code":"overloaded","message":"there are too many connections",'
    b'"hint":"try again in a few seconds","details":{}}}'
)
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)

log = logging.getLogger(__name__)


class ListeningSocket(socket.socket):
    """`make_room` is asked first: if it gives up a connection (True), the caller that waits is accepted next turn."""

    make_room: Callable[[], bool] | None = None
    _spare: int | None = None
    _this_turn = 0
    _logged_at = -LOG_EVERY_S

    def listen(self, backlog: int = 128, /) -> None:
        super().listen(backlog)
        self._keep_spare()

    def accept(self) -> tuple[socket.socket, Any]:
        """As always, but raises BlockingIOError after `PER_TURN` callers, and, having made room or answered 503,
        without a free descriptor. The loop comes again: the socket stays readable while someone waits.
        """
        self._this_turn += 1
        if self._this_turn > PER_TURN:
            self._this_turn = 0
            raise BlockingIOError(errno.EAGAIN, "enough for one turn")
        try:
            return super().accept()
        except OSError as error:
            self._this_turn = 0
            if error.errno not in _EXHAUSTED:
                raise
            self._exhausted()
            raise BlockingIOError(errno.EAGAIN, "no file descriptor is left") from error

    def close(self) -> None:
        self._give_spare()
        super().close()

    def _exhausted(self) -> None:
        now = monotonic()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.error("no file descriptor is left for connections", extra={"hint": "raise 'ulimit -n'"})
        if self.make_room is not None and self.make_room():
            return
        # Each turn answers one of those who wait, so this ends when they do.
        self._give_spare()
        with contextlib.suppress(OSError):
            refused, _ = super().accept()
            with refused:
                refused.setblocking(False)
                refused.send(_ANSWER)
                refused.shutdown(socket.SHUT_WR)
                refused.recv(65536)  # closing on unread bytes would reset the connection, and the answer with it
        self._keep_spare()

    def _keep_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _give_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
