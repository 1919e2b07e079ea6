"""What an agent has drawn: a headless terminal per slot, with `cells` and `repaint` all that knows its library.

The emulator also answers the queries that programs send to terminals, and hears OSC 7501, by which agents report
their own state. Nothing here raises on any input: what a program writes is never trusted.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import Struct
from pyghostty._ffi import GhosttyError, ffi, lib
from pyghostty.core import Terminal, UnknownSequence

from meshd_core.terminal import repaint
from meshd_core.terminal.cells import Cells
from meshd_core.terminal.faint import without_faint
from meshd_core.terminal.modes import ALTERNATE, CLEAR, PLAIN
from meshd_core.types import Size

MAX_TITLE_CHARS = 256
MAX_MESSAGE_BYTES = 4096
MAX_REPLY_BYTES = 4096
"""Of answers to the queries in one `feed`; a flood of queries gets no flood of answers."""
MAX_SIGNALS = 64
"""Kept of one `feed`, the newest."""
HISTORY_ROWS = 4096
ABOVE_ROWS = 24
"""Of what scrolled off, as context for whoever judges the first rows of the screen."""
_CELL_BYTES = 8
_SIGNAL_QUERY = b"7501;?"
_SIGNAL_ANSWER = b"\x1b]7501;?\x1b\\"
_KITTY_ANSWER = re.compile(rb"\x1b\[\?\d+u")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Signal(Struct, frozen=True):
    """One OSC 7501 report: `state` is idle, working, blocked, done, error or clear; `message` was base64."""

    state: str
    app: str
    kind: str | None = None
    message: str | None = None


class Scrolled(NamedTuple):
    """Rows that left the primary screen, soft wraps joined; `continues`: the last goes on in the first visible row."""

    lines: list[str]
    continues: bool


def parse_signal(content: bytes) -> Signal | None:
    """The report in an OSC's content `7501;state=..:app=..[:kind=..][:msg=<base64>]`, or None if it isn't one."""
    fields = dict(part.partition("=")[::2] for part in content[5:].decode("ascii", "replace").split(":"))
    state, app, kind = fields.get("state", ""), fields.get("app", ""), fields.get("kind")
    if not _WORD.fullmatch(state) or not _WORD.fullmatch(app):
        return None
    return Signal(state, app, kind if kind and _WORD.fullmatch(kind) else None, _message(fields.get("msg")))


def _message(encoded: str | None) -> str | None:
    if not encoded:
        return None
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw[:MAX_MESSAGE_BYTES].decode("utf-8", "replace")


class Emulator:
    """One terminal screen of `rows` by `cols`. `on_reply` gets bytes for the program, `on_signal` its reports.

    Both are called at the end of `feed`, outside of the library. Little history is kept until `keep_history`: a
    slot whose lines come from the text filter needs the screen only.
    """

    def __init__(
        self,
        rows: int,
        cols: int,
        *,
        on_reply: Callable[[bytes], None] | None = None,
        on_signal: Callable[[Signal], None] | None = None,
    ) -> None:
        # The colours make OSC 10 and 11 answerable: programs choose their theme by them.
        self._terminal = Terminal(cols, rows, scrollback=0, fg=(255, 255, 255), bg=(0, 0, 0))
        self._on_reply, self._on_signal = on_reply, on_signal
        self._replies: list[bytes] = []
        self._signals: list[Signal] = []
        self._mute_replies = self._mute_signals = False
        self._history = False
        self._above: list[str] = []
        self._plain: str | None = None
        self._size = self._asked_size()
        self._cells = Cells(self._terminal, rows, cols)
        self.errors = 0
        """Failures inside the library; the screen may be wrong after one, the daemon is not."""
        self._terminal.on_reply(self._collect_reply)
        # Longest 7501 content: base64 of the message, and the other fields.
        self._terminal.on_unknown_sequence(self._collect_unknown, max_bytes=MAX_MESSAGE_BYTES * 4 // 3 + 256)
        self._set("CONTINUATION_MAX_BYTES", "size_t*", repaint.MAX_PENDING_BYTES)
        self._set("KITTY_IMAGE_STORAGE_LIMIT", "uint64_t*", 0)  # Images are memory that no one here ever sees.

    # -- input ---------------------------------------------------------------------------------------------------

    def feed(self, data: bytes | memoryview) -> None:
        """Let the terminal take `data`; then hand out replies and signals. Any bytes, cut anywhere."""
        self._plain = None
        try:
            self._terminal.feed(ffi.from_buffer("uint8_t[]", data))
        except GhosttyError:
            self.errors += 1
        self._dispatch()

    def feed_to_ground(self, data: bytes | memoryview) -> int | None:
        """Feed what ends the sequence in progress: bytes taken (0: none is), or None: all, and it isn't ended."""
        self._plain = None
        try:
            taken: int | None = self._terminal.feed_until_ground(ffi.from_buffer("uint8_t[]", data))
        except GhosttyError:
            self.errors += 1
            taken = 0
        self._dispatch()
        return taken

    @contextmanager
    def replaying(self, *, signals: bool = False) -> Iterator[None]:
        """While old bytes are fed again: no replies (their questions were answered), no signals unless asked for."""
        before = self._mute_replies, self._mute_signals
        self._mute_replies, self._mute_signals = True, not signals
        try:
            yield
        finally:
            self._mute_replies, self._mute_signals = before

    @property
    def is_replaying(self) -> bool:
        return self._mute_replies

    def resize(self, rows: int, cols: int) -> None:
        """Change the size; the primary screen's soft-wrapped rows are wrapped anew."""
        self._plain = None
        try:
            self._terminal.resize(cols, rows)
        except GhosttyError:
            self.errors += 1
        self._size = self._asked_size()
        if self._history:
            self._bound_history()

    def keep_history(self) -> None:
        """From now on keep what scrolls off the primary screen for `take_scrollback`, within `HISTORY_ROWS`."""
        self._history = True
        self._bound_history()

    def close(self) -> None:
        """Free the native terminal now. Nothing else may be called afterwards."""
        self._terminal.close()

    # -- what is shown -------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The visible screen, trailing spaces and trailing empty rows removed."""
        if self._plain is None:
            self._plain = self._format("active", self.size.rows)
        return self._plain

    def typed_text(self) -> str:
        """The visible screen like `text`, but for what is drawn faint: a placeholder, a suggestion."""
        try:
            return without_faint(repaint.attributed(self._terminal))
        except GhosttyError:
            self.errors += 1
            return self.text()

    def rows(self) -> list[str]:
        """Exactly `size.rows` rows, trailing spaces removed."""
        count = self.size.rows
        rows = self.text().split("\n")[:count]
        return rows + [""] * (count - len(rows))

    def lines(self) -> list[tuple[str, int]]:
        """The visible screen with soft wraps joined: each line and the number of rows that it takes."""
        rows = self.rows()
        count = self.size.rows
        if self._format("active", count, unwrap=True).count("\n") == self.text().count("\n"):
            return [(row, 1) for row in rows]
        full = self._format("active", count, trim=False).split("\n")
        lines: list[tuple[str, int]] = []
        head, taken = "", 0
        for y, row in enumerate(rows):
            taken += 1
            if y < count - 1 and self._cells.wraps("active", y):
                head += full[y] if y < len(full) else row
            else:
                lines.append((head + row, taken))
                head, taken = "", 0
        return lines

    @property
    def scrolled(self) -> int:
        """How many rows left the primary screen since `take_scrollback`."""
        return 0 if self.alternate else int(self._cells.value("scrollback_rows", "size_t"))

    def take_scrollback(self, *, joined: bool = True) -> Scrolled:
        """Rows that left the primary screen since the last call, which also forgets them. Only at `at_ground`. Without
        `joined` each row is a line, and none goes on.
        """
        count = self.scrolled
        if not count:
            return Scrolled([], False)
        continues = joined and self._cells.wraps("history", count - 1)
        lines = self._format("history", count, unwrap=joined, trim=False).split("\n")
        # The spaces at a soft wrap are text; those at an end are not.
        last = lines.pop()
        lines = [line.rstrip() for line in lines]
        if continues and self._cells.wide_moved("history", self.size.cols - 1, count - 1):
            last = last[:-1]  # The library formats the character for which there was no room, too.
        lines.append(last if continues else last.rstrip())
        self._terminal.feed(b"\x1b[3J")
        self._above = (self._above + lines)[-ABOVE_ROWS:]
        return Scrolled(lines, continues)

    def above(self) -> list[str]:
        """The last lines that left the primary screen, oldest first; the last may go on in the first visible row."""
        if self.alternate:
            return []
        count = self.scrolled
        if not count:
            return list(self._above)
        first = max(0, count - ABOVE_ROWS)
        lines = self._format("history", count, first=first, unwrap=True).split("\n")
        return lines if first else (self._above + lines)[-ABOVE_ROWS:]

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0."""
        return int(self._cells.value("cursor_y", "uint16_t")), int(self._cells.value("cursor_x", "uint16_t"))

    @property
    def cursor_shown(self) -> bool:
        """Whether the program lets the cursor be seen (DECTCEM, mode 25)."""
        return self._cells.mode(25)

    @property
    def size(self) -> Size:
        return self._size

    @property
    def title(self) -> str:
        """The window title, without control characters, at most `MAX_TITLE_CHARS`."""
        value = self._cells.value("title", "GhosttyString")
        if not value.len:
            return ""
        raw = bytes(ffi.buffer(value.ptr, min(value.len, MAX_TITLE_CHARS * 8)))
        return _CONTROLS.sub("", raw.decode("utf-8", "ignore"))[:MAX_TITLE_CHARS]

    @property
    def alternate(self) -> bool:
        return bool(
            self._cells.value("active_screen", "GhosttyTerminalScreen") == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE
        )

    @property
    def synchronized(self) -> bool:
        """Whether the program is inside a synchronized frame (mode 2026): what is shown is half drawn."""
        return self._cells.mode(2026)

    @property
    def application_cursor(self) -> bool:
        """Whether the program wants arrow keys in their application form (DECCKM, mode 1)."""
        return self._cells.mode(1)

    @property
    def bracketed_paste(self) -> bool:
        return self._cells.mode(2004)

    @property
    def at_ground(self) -> bool:
        """Whether the parser is outside of any sequence and any character."""
        return bool(self._cells.value("vt_ground", "bool"))

    def painted(self) -> bytes:
        """What makes any terminal of this size show and do the same: screen, cursor, modes, title, and the beginning
        of the sequence in progress.
        """
        try:
            screen = repaint.repaint(self._terminal)
        except GhosttyError:
            self.errors += 1
            screen = "\r\n".join(self.rows()).encode()
        title = f"\x1b]2;{self.title}\x1b\\".encode()
        # A terminal may clear the alternate screen in the colours that were in use there before.
        prologue = PLAIN + (ALTERNATE if self.alternate else b"") + CLEAR
        return prologue + screen + title + repaint.pending(self._terminal)

    # -- inside --------------------------------------------------------------------------------------------------

    def _collect_reply(self, reply: bytes) -> None:
        # Left unanswered, kitty's keyboard protocol stays off, and Enter and Escape mean the same in every agent.
        if not self._mute_replies and not _KITTY_ANSWER.fullmatch(reply):
            self._replies.append(reply)

    def _collect_unknown(self, sequence: UnknownSequence) -> None:
        if sequence.kind != "osc" or not sequence.content.startswith(b"7501;"):
            return
        if sequence.content == _SIGNAL_QUERY:
            if not self._mute_replies:
                self._replies.append(_SIGNAL_ANSWER)
        elif not self._mute_signals and not sequence.truncated and (signal := parse_signal(sequence.content)):
            self._signals.append(signal)
            del self._signals[:-MAX_SIGNALS]

    def _dispatch(self) -> None:
        if self._replies:
            whole, size = [], 0
            for reply in self._replies:
                size += len(reply)
                if size > MAX_REPLY_BYTES:
                    break
                whole.append(reply)
            self._replies.clear()
            if self._on_reply:
                self._on_reply(b"".join(whole))
        if self._signals:
            signals, self._signals = self._signals, []
            for signal in signals if self._on_signal else ():
                assert self._on_signal is not None
                self._on_signal(signal)

    def _bound_history(self) -> None:
        self._set("SCROLLBACK_MAX_LINES", "size_t*", HISTORY_ROWS)
        # The line limit alone keeps a few hundred rows: the byte limit (10,000 by default) comes first.
        self._set("SCROLLBACK_MAX_BYTES", "size_t*", HISTORY_ROWS * self.size.cols * _CELL_BYTES)

    def _set(self, option: str, ctype: str, value: int) -> None:
        code = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
        if lib.ghostty_terminal_set(self._terminal._t[0], code, ffi.new(ctype, value)):
            self.errors += 1

    def _asked_size(self) -> Size:
        cols, rows = self._terminal.size
        return Size(int(rows), int(cols))

    def _format(self, where: str, count: int, *, first: int = 0, unwrap: bool = False, trim: bool = True) -> str:
        return self._cells.text(where, first, count - 1, self.size.cols - 1, unwrap=unwrap, trim=trim)
