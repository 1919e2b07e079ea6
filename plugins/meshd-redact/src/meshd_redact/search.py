"""The search for shapes under a limit of time: hooks run on the daemon's event loop, which must not stand still."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import regex

from meshd_redact.redactor import Found
from meshd_redact.shapes import Shape

log = logging.getLogger(__name__)

TIMEOUT_S = 0.1
"""For one shape on one text."""
PAUSE_S = 2.0
"""After a timeout nothing is searched for so long; what comes meanwhile is withheld."""


class Search:
    """Shared by all slots, because they share the event loop. A pattern that timed out costs all of them their output
    for `PAUSE_S`: the alternative is a daemon that stands still, or text that nobody judged.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._paused_until = 0.0

    def find(self, shape: Shape, text: str, partial: bool) -> Iterator[Found]:
        """The matches of `shape` in `text`, with `partial` also an unfinished one at its end. Raises TimeoutError."""
        with self._in_time(shape):
            for match in shape.pattern.finditer(text, partial=partial, timeout=TIMEOUT_S):
                if match.partial or match.end() > match.start():
                    yield _found(shape, match)

    def at_begin(self, shape: Shape, text: str) -> Found | None:
        """The match that `text` begins with, be it an unfinished one. Raises TimeoutError."""
        with self._in_time(shape):
            match = shape.pattern.match(text, partial=True, timeout=TIMEOUT_S)
        return None if match is None or match.end() == match.start() else _found(shape, match)

    @contextmanager
    def _in_time(self, shape: Shape) -> Iterator[None]:
        if self._paused_until > self._clock():
            raise TimeoutError
        try:
            yield
        except TimeoutError:
            self._paused_until = self._clock() + PAUSE_S
            log.warning("a pattern takes too long; output is withheld", extra={"pattern": shape.name})
            raise


def _found(shape: Shape, match: "regex.Match[str]") -> Found:
    if match.partial:
        return Found(match.span(), match.span(), True)
    named = "v" in shape.pattern.groupindex and match.start("v") >= 0
    return Found(match.span(), match.span("v") if named else match.span(), False)
