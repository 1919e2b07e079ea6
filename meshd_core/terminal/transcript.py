"""From what an agent draws to the plain lines that a person would have read: each once, in order, once settled.

The sampler: it feeds the emulator and decides when the screen may be looked at. Never inside a sequence, a character
or a synchronized frame; always before something is cleared and before so much has passed that rows could be lost.
Sampling at fixed offsets of the stream makes the result independent of how the bytes were cut into chunks.
Source of the rules: the compact-text-tape algorithm, docs/architecture.md.
"""

import re
from collections.abc import Callable, Iterable

from meshd_core.columns import left_of
from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript_live import RowRules
from meshd_core.terminal.transcript_screen import Row, Sample, ScreenTrack
from meshd_core.terminal.transcript_tape import compact
from meshd_core.types import ActivityState

QUIET_S = 0.015
LATEST_S = 0.060
FRAME_S = 0.25
"""A synchronized frame that isn't ended by then is looked at all the same."""
PRIMARY_STEP = 8 * 1024
ALTERNATE_STEP = 64 * 1024
"""Bytes between two samples; on the alternate screen smaller steps would tear frames."""
ERASED_ROWS = 8
"""Where so many rows have scrolled since the screen was last looked at, what is erased may be more than a live region,
which some erase with each frame.
"""
MAX_CARRY = 16_384
_CUT = re.compile(rb"\x1b(?:\[(?:\?2026h|[23]J|\?(?:1049|1047|47)[hl])|c)|(?:\x1b\[2K\x1b\[1A)+")
_FRAME, _ERASES = b"\x1b[?2026h", b"\x1b[2K"
_PARTIAL = re.compile(rb"\x1b(?:\[\??[0-9]{0,4})?\Z")


class Transcript:
    """The lines of one slot. `clock` gives monotonic seconds; raises `re.error` for bad patterns in `rules`.

    Every method that takes bytes or time returns the lines that were committed by it. An empty line separates what an
    empty row separates on the screen.
    """

    def __init__(self, emulator: Emulator, rules: TranscriptRules, clock: Callable[[], float]) -> None:
        self._emulator, self._clock = emulator, clock
        self._rules = RowRules(rules)
        self._primary = ScreenTrack(alternate=False, agent=not self._rules.empty)
        self._alternate = ScreenTrack(alternate=True, agent=not self._rules.empty)
        self._track = self._primary
        self._state: ActivityState = "unknown"
        self._offset = 0
        self._held = b""
        self._first: float | None = None
        self._latest = 0.0
        self._replayed = False
        self._seen: int | None = None
        self._carry = ""
        self._cut_rows = 0
        """Rows that still stand where a resize cut them anew. What is drawn over the second part of a line is not one
        with the first: until they are gone, rows are not joined.
        """
        self._blank = False
        self._shown: Callable[[list[str]], list[str]] = list
        self._next_step = PRIMARY_STEP
        self._erased_step = 0
        self.consumed = 0
        """Bytes fed, replayed ones too, when the screen was last looked at: what the lines so far were made from.

        After a crash, replay up to its value at the last line, and feed the rest as new: what was on the screen then
        and not committed is found again.
        """
        emulator.keep_history()

    def set_rules(self, rules: TranscriptRules) -> None:
        """Judge by `rules` from now on, rows that still stand on the screen too. Raises `re.error` for bad ones."""
        self._rules = RowRules(rules)
        self._seen = None
        self._primary.agent = self._alternate.agent = not self._rules.empty

    @property
    def held(self) -> bytes:
        """The beginning of a sequence, a few bytes, that the emulator was not fed yet."""
        return self._held

    @property
    def lost(self) -> int:
        """How often rows are known to have gone by unseen: at least so many lines are missing."""
        return self._primary.lost + self._alternate.lost

    def mark_unseen(self) -> None:
        """From now on an `Unseen` stands among the lines where an agent on the alternate screen drew more than a
        screen at a time, or drew over rows that were not told yet: they may be known from elsewhere.
        """
        self._primary.marks_unseen = self._alternate.marks_unseen = True

    def feed(self, data: bytes) -> list[str]:
        """Take what the agent wrote. Inside `Emulator.replaying` nothing is committed: the lines are known."""
        now = self._clock()
        if self._emulator.is_replaying:
            self._replay(data)
            return []
        out: list[str] = []
        # The replayed screen is looked at before anything new is drawn: it may show rows that no one committed.
        if self._replayed or (self._first is not None and now >= self._sample_time()):
            self._look(now, out)
        if not data:
            return out
        data, self._held = self._held + data, b""
        # A sequence that is cut by the chunk's end may be one to look at the screen before.
        if partial := _PARTIAL.search(data[-8:]):
            self._held = partial.group()
            data = data[: len(data) - len(self._held)]
            self._first, self._latest = self._first or now, now
        self._take(data, now, out)
        out += self._track.commit(self._state, now)
        return out

    def tick(self) -> list[str]:
        """Call when `due` has passed: look at the screen if it is time, commit what has settled."""
        now = self._clock()
        out: list[str] = []
        if self._first is not None and now >= self._sample_time():
            self._release()
            self._look(now, out)
        out += self._track.commit(self._state, now)
        return out

    def due(self) -> float | None:
        """When `tick` is needed next (monotonic seconds), if nothing is fed before; None: never."""
        times = [self._track.due(self._state)]
        if self._first is not None:
            times.append(self._sample_time())
        return min((time for time in times if time is not None), default=None)

    def set_activity(self, state: ActivityState) -> None:
        """The last row waits for more while the agent is busy, and not while it is idle."""
        self._state = state

    def resize(self, rows: int, cols: int) -> list[str]:
        """Look at the screen as it is, then change the emulator's size."""
        now = self._clock()
        out: list[str] = []
        self._look(now, out)
        self._emulator.resize(rows, cols)
        self._seen = None
        self._cut_rows = 0 if self._rules.empty else rows
        self._primary.redrawn(now, resized=True)
        self._alternate.redrawn(now, resized=True)
        return out

    def flush(self) -> list[str]:
        """At the agent's exit: everything that is still on the screen and isn't a line yet."""
        now = self._clock()
        out: list[str] = []
        self._release()
        self._look(now, out, final=True)
        tracks = (
            (self._primary, self._alternate) if self._track is self._alternate else (self._alternate, self._primary)
        )
        for track in tracks:
            out += track.commit(self._state, now, final=True)
        return out

    def restore(self, lines: Iterable[str], shown: Callable[[list[str]], list[str]] = list) -> None:
        """After an adoption: `lines` were committed before. Call before old bytes are replayed.

        `shown` gives rows of the screen as the slot's filters changed them: so the lines tell what they were drawn as.
        """
        known = list(lines)
        self._shown = shown
        self._primary.restore(known)
        self._alternate.restore(known)

    # -- inside --------------------------------------------------------------------------------------------------

    def _sample_time(self) -> float:
        """When the screen is to be looked at, after bytes were fed."""
        assert self._first is not None
        if self._emulator.synchronized:
            return self._first + FRAME_S
        return min(self._latest + QUIET_S, self._first + LATEST_S)

    def _take(self, data: bytes, now: float, out: list[str]) -> None:
        """Feed `data`, looking before each cut and at each step."""
        position = 0
        for match in _CUT.finditer(data):
            self._advance(data[position : match.start()], now, out)
            position = match.end()
            erases = match.group().startswith(_ERASES)
            whole = self._emulator.at_ground and not self._emulator.synchronized
            if whole and (not erases or self._may_lose_rows()):
                self._look(now, out)
            self._advance(data[match.start() : position], now, out)
            if not erases and match.group() != _FRAME:
                self._cleared(now, out)
        self._advance(data[position:], now, out)

    def _may_lose_rows(self) -> bool:
        """Whether to look before rows are erased: once in a step, as a flood of frames erases thousands of times."""
        if self._erased_step == self._next_step or self._emulator.scrolled < ERASED_ROWS:
            return False
        self._erased_step = self._next_step
        return True

    def _advance(self, data: bytes, now: float, out: list[str]) -> None:
        """Feed `data` and look at the screen at each step of the stream."""
        view = memoryview(data)
        while view:
            if self._first is None:
                self._first = now
            self._latest = now
            room = self._next_step - self._offset
            if room > 0:
                piece = view[:room]
                self._emulator.feed(piece)
                taken = len(piece)
            else:
                ended = self._emulator.feed_to_ground(view)
                taken = len(view) if ended is None else ended
                if ended is not None:
                    if not self._emulator.synchronized:
                        self._look(now, out)
                    self._plan_step(taken)
            self._offset += taken
            view = view[taken:]

    def _release(self) -> None:
        """Feed what was held back: the rest of its sequence is late."""
        held, self._held = self._held, b""
        self._emulator.feed(held)
        self._offset += len(held)

    def _plan_step(self, taken: int) -> None:
        step = ALTERNATE_STEP if self._emulator.alternate else PRIMARY_STEP
        self._next_step = (self._offset + taken) // step * step + step

    def _cleared(self, now: float, out: list[str]) -> None:
        self._carry = ""
        if self._track is self._primary and not self._emulator.alternate:
            self._cut_rows = 0
        self._switch(now, out)
        self._track.redrawn(now)

    def _switch(self, now: float, out: list[str]) -> None:
        """Follow the emulator to its other screen; what was pending on the alternate one is gone from sight."""
        track = self._alternate if self._emulator.alternate else self._primary
        if track is self._track:
            return
        if self._track is self._alternate:
            out += self._track.commit(self._state, now, final=True)
        self._track = track
        track.redrawn(now)

    def _look(self, now: float, out: list[str], *, final: bool = False) -> None:
        """Take a sample, now; none if nothing was fed since the last: often a frame begins where another has ended."""
        self._first = None
        if (self._offset == self._seen and not final) or not self._emulator.at_ground:
            return
        self.consumed = self._seen = self._offset
        self._switch(now, out)
        if self._replayed:
            self._after_replay(now)
        joined = self._track is self._primary and not self._cut_rows
        scrolled = self._scrolled(joined)
        sample = Sample(scrolled, self._visible(joined, final))
        out += self._track.observe(sample, now)

    def _scrolled(self, joined: bool) -> list[Row]:
        if self._track is self._alternate:
            return []
        lines, continues = self._emulator.take_scrollback(joined=joined)
        if not lines:
            return []
        self._cut_rows = max(self._cut_rows - len(lines), 0)
        lines[0] = self._carry + lines[0]
        self._carry = lines.pop() if continues else ""
        if len(self._carry) > MAX_CARRY:
            lines.append(self._carry)
            self._carry = ""
        return self._rows(lines)

    def _visible(self, joined: bool, final: bool = False) -> list[Row]:
        """The rows above the live line; `joined`: as lines."""
        screen = self._emulator.rows()
        panel = self._rules.panel_column(screen)
        live = self._rules.live_row(screen)
        if live is None:
            live = self._rules.entry_row(screen, self._emulator, final=final)
        if live is not None:
            del screen[live:]
        lines = screen
        if joined:
            lines, taken = [], 0
            for line, count in self._emulator.lines():
                taken += count
                if taken > len(screen):
                    break
                lines.append(line)
        if panel is not None and not joined:
            lines = [left_of(line, panel) for line in lines]
        if lines and self._track is self._primary:
            lines[0] = self._carry + lines[0]
        blank = self._blank
        rows = self._rows(lines)
        self._blank = blank  # Only rows that left for good count for what comes next.
        return rows

    def _rows(self, lines: Iterable[str]) -> list[Row]:
        """Lines of the screen after the rules; empty ones become a mark on the next."""
        rows: list[Row] = []
        for line in lines:
            judged = self._rules.judged(line)
            if judged is None:
                continue
            if not judged.compact:
                self._blank = True
                continue
            rows.append(Row(judged.text, judged.compact, self._blank, judged.echo))
            self._blank = False
        return rows

    def _replay(self, data: bytes) -> None:
        self._first = self._latest = self._clock()
        self._emulator.feed(data)
        self._offset += len(data)
        self._replayed, self._seen = True, None

    def _after_replay(self, now: float) -> None:
        self._replayed = False
        self._emulator.take_scrollback()
        drawn = [row.text for row in self._visible(joined=self._track is self._primary)]
        shown = self._shown(drawn)
        if len(shown) == len(drawn):
            changed = [(compact(a), compact(b)) for a, b in zip(shown, drawn, strict=True) if a != b]
            self._primary.reworded(changed)
            self._alternate.reworded(changed)
        self._plan_step(0)
        self._primary.redrawn(now, replayed=True)
        self._alternate.redrawn(now, replayed=True)
