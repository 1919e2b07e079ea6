"""When a slot's terminal is judged: at each change of its title, once its screen has settled, and in its silence."""

import asyncio
from collections.abc import Callable

from meshd_core.clock import monotonic
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.output import Output
from meshd_core.slots.screen_watch import ScreenWatch

_SILENCE_CHECK_S = 5.0


class Observer:
    """Has `tracker` judge what `output` shows, while `alive()`: what an adoption replays is history."""

    def __init__(self, tracker: ActivityTracker, output: Output, alive: Callable[[], bool]) -> None:
        self._tracker, self._output, self._alive = tracker, output, alive
        self._silence = Silence()
        self._watch = ScreenWatch(self.look)
        self._title = ""
        self._words: asyncio.TimerHandle | None = None

    @property
    def silent_s(self) -> float:
        """For how long the terminal has said nothing."""
        return self._silence.seconds

    def run_began(self) -> None:
        """A run begins, or was adopted: its screen is judged even if it says nothing more."""
        self._silence.broken()
        self._watch.touched(monotonic())

    def touched(self, when: float) -> None:
        """There was output, read at `when` (monotonic)."""
        self._silence.broken()
        if (title := self._output.raw_title) != self._title:
            self._title = title
            if self._alive():
                self._tracker.titled(title)
        self._watch.touched(when)

    def look(self) -> None:
        """Judge the screen as it is now."""
        if not self._alive():
            return
        self._tracker.look(self._output.raw_text, self._output.raw_title)
        if (due_s := self._tracker.words_due_s) is not None and self._words is None:
            self._words = asyncio.get_running_loop().call_later(due_s, self._words_due)

    def _words_due(self) -> None:
        self._words = None
        self.look()

    async def check_silence(self) -> None:
        """Until cancelled; one task of the slot."""
        while True:
            await asyncio.sleep(_SILENCE_CHECK_S)
            if self._alive():
                self._tracker.silent(self.silent_s)

    def close(self) -> None:
        self._watch.close()
        if self._words is not None:
            self._words.cancel()


class Silence:
    """How long a terminal has said nothing, in seconds."""

    def __init__(self) -> None:
        self._last = monotonic()

    def broken(self) -> None:
        self._last = monotonic()

    @property
    def seconds(self) -> float:
        return monotonic() - self._last
