"""From the bytes of a terminal to the lines, the screen and the signals of one slot.

Every byte is in the journal before anything is made of it; every line is in the journal before anyone sees it. After
the daemon's death the rest is made again from there (`restore`), and nothing is told twice.
"""

import asyncio
from collections.abc import Callable, Sequence

from meshd_core.clock import monotonic
from meshd_core.contracts.filters import IDLE_S
from meshd_core.contracts.kinds import KindProfile
from meshd_core.pty.messages import Backlog
from meshd_core.slots.feed import Feed
from meshd_core.slots.reply_lines import without_echo
from meshd_core.slots.unseen_rows import UnseenRows
from meshd_core.terminal.emulator import Emulator, Signal
from meshd_core.terminal.journal import RAW_STEP, Journal
from meshd_core.terminal.output_chain import OutLine, OutputChain
from meshd_core.terminal.records import Kind
from meshd_core.terminal.text_filter import TextFilter
from meshd_core.terminal.transcript import Transcript
from meshd_core.types import ActivityState, Cursor, Gap, Screen, Size

_SETTLED_S = 0.6
_MORE_POLLS, _SETTLED_POLL_S = 40, 0.05
"""As much longer on a busy machine, where rows are seen later; some, as a clock's, never come to rest."""
WITHHELD_PIECE = "[output withheld: part of what a filter removed]"


class Output:
    """One slot's terminal, read side. `begin` and `restore` start a run, `end` closes it.

    `reply(bytes)` gets the terminal's answers to the program's queries; `signal(signal, at)` each status signal with
    the raw offset it came before; `touched(when)` is called after each piece of output, with the monotonic time when it
    was read; `unseen` knows what went by that was never drawn.
    """

    def __init__(
        self,
        journal: Journal,
        feed: Feed,
        profile: KindProfile,
        make_chain: Callable[[int], OutputChain],
        size: Size,
        *,
        reply: Callable[[bytes], None],
        signal: Callable[[Signal, int], None],
        touched: Callable[[float], None],
        unseen: UnseenRows | None = None,
    ) -> None:
        self._journal, self._feed, self._profile = journal, feed, profile
        self._make_chain = make_chain
        self._size = size
        self._reply, self._signal, self._touched, self._unseen = reply, signal, touched, unseen
        self._signals: list[Signal] = []
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.bytes_read = 0
        self.lines = 0
        self.gaps = 0
        self.cut = False
        """Whether the screen was rebuilt from the middle of the output: the agent has to draw it anew."""
        self._open_terminal(journal.raw_head)

    def _open_terminal(self, start: int) -> None:
        size = self._size
        self._chain = self._make_chain(start)
        self._origin = start
        self._lost = 0
        self._emulator = Emulator(size.rows, size.cols, on_reply=self._reply, on_signal=self._signals.append)
        self._filter = TextFilter() if self._profile.output == "lines" else None
        self._transcript = (
            Transcript(self._emulator, self._profile.transcript, monotonic) if self._filter is None else None
        )
        if self._transcript is not None and self._unseen is not None:
            self._transcript.mark_unseen()
            self._unseen.open(self._feed_chain, lambda: self.gap(Gap(lost_lines=1, lost_bytes=0)))

    # -- runs --

    def begin(self, size: Size) -> None:
        """A new run of the agent: a fresh terminal of `size`; the journal goes on."""
        self._size = size
        self._begin(self._journal.raw_head)

    def _begin(self, start: int) -> None:
        self.give_up_unseen()
        self._emulator.close()
        self._open_terminal(start)

    def restore(self, base: int, size: Size, marks: Sequence[int] = (), judged_to: int = 0) -> None:
        """After an adoption: rebuild terminal and filters from the journal, and tell the lines that were not told yet.

        `base` is the raw offset at which this run began, `size` what its terminal has now; `marks` are offsets that no
        replayed step may span. Up to `judged_to` other filters than now have judged already.
        """
        self._size = size
        start = max(base, self._journal.raw_tail)
        told, skip = self._journal.consumed
        if told < judged_to <= self._journal.raw_head:
            told, skip = judged_to, 0
        lost = self._journal.raw_tail - max(told, base)
        told, skip = (told, skip) if told >= start else (start, 0)
        self._begin(told)
        self._origin = start
        self.cut = start > base
        if lost > 0 and self._filter is not None:
            self.gap(Gap(lost_lines=None, lost_bytes=lost))
        if self._transcript is not None:
            # While a filter held lines back, the lines told after them were made of bytes that are fed once more.
            known = self._recent_lines()
            at = max(len(known) - skip, 0)
            self._transcript.restore(known[:at], self._shown_rows)
            self._chain.resume_told(known[at:], self._journal.raw_head)
        with self._emulator.replaying(signals=True):
            self._replay(start, told if self._transcript is not None else self._journal.raw_head, marks)
        if self._transcript is not None:
            # What was read but not yet looked at: from here on rows become lines again.
            self._replay(told, self._journal.raw_head, marks)
        else:
            self._chain.resume(skip)
            self._retell(told)
        self._schedule()
        self._await_more()

    def _replay(self, start: int, end: int, marks: Sequence[int]) -> None:
        """Feed raw bytes of the journal to the terminal once more."""
        for data, high in self._journal.raw_steps(start, end, marks):
            if self._transcript is not None:
                self._publish_texts(self._transcript.feed(data))
            else:
                self._emulator.feed(data)
            self._tell_signals(high)

    def _retell(self, start: int) -> None:
        """Make lines of raw bytes of the journal that no line was made of."""
        assert self._filter is not None
        for data, high in self._journal.raw_steps(start, self._journal.raw_head):
            self._publish(self._chain.feed(self._filter.feed(data, high - len(data))))

    async def backlog(self, run: int, backlog: Backlog) -> None:
        """Take in what the keeper read while no daemon was there; what was taken in before is skipped."""
        seen = self._journal.backlog_begin(run, backlog.start, len(backlog.data))
        if backlog.lost_bytes and not seen:
            self.gap(Gap(lost_lines=None, lost_bytes=backlog.lost_bytes))
        for low in range(seen, len(backlog.data), RAW_STEP):
            step = backlog.data[low : low + RAW_STEP]
            self._journal.append_raw(step)
            self._take(step)
            await asyncio.sleep(0)

    def end(self) -> None:
        """The run ended: what is still unfinished becomes lines."""
        if self._transcript is not None:
            self._publish_texts(self._transcript.flush())
        self.give_up_unseen()
        self._flush_unfinished()
        self._cancel_timer()
        self._cancel_idle()

    def give_up_unseen(self) -> None:
        """Tell what waits for the agent's records as it is."""
        if self._unseen is not None:
            self._unseen.give_up()

    def _flush_unfinished(self) -> None:
        """Make lines of what waits for its end: an event that says `all before is told` follows."""
        if self._filter is not None:
            head = self._journal.raw_head
            self._publish(self._chain.feed([(text, head) for text, _ in self._filter.flush()]))
        self._publish(self._chain.flush())

    # -- bytes --

    def read_from(self, fd: int) -> int:
        """One read of the master into the journal, and everything that follows from it; the number of bytes."""
        view = self._journal.read_from(fd)
        size = len(view)
        if size:
            self._take(bytes(view))
        return size

    def _take(self, data: bytes) -> None:
        head, now = self._journal.raw_head, monotonic()
        self.bytes_read += len(data)
        if self._filter is not None:
            self._feed_chain(self._filter.feed(data, head - len(data)))
            self._emulator.feed(data)
        else:
            assert self._transcript is not None
            self._publish_texts(self._transcript.feed(data))
            self._schedule()
        if self._signals:
            self._tell_signals(head)
        self._touched(now)

    def _tell_signals(self, at: int) -> None:
        while self._signals:
            self._signal(self._signals.pop(0), at)

    # -- lines --

    def _publish_texts(self, texts: Sequence[str]) -> None:
        assert self._transcript is not None
        if texts:
            # An adoption replays silently up to what the transcript had looked at, and goes on from there.
            seen = self._origin + self._transcript.consumed
            take = self._feed_chain if self._unseen is None else self._unseen.take
            take([(text, seen) for text in texts])
        if self._transcript.lost > self._lost:
            lost, self._lost = self._transcript.lost - self._lost, self._transcript.lost
            self.gap(Gap(lost_lines=lost, lost_bytes=0))

    def _feed_chain(self, lines: Sequence[tuple[str, int]], whole: bool = True) -> None:
        if lines:
            self._publish(self._chain.feed(lines, whole=whole))
            self._await_more()

    def _await_more(self) -> None:
        """If a filter holds lines back, let them out when no other line comes for a moment."""
        self._cancel_idle()
        if self._chain.holds:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._release)

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _release(self) -> None:
        self._idle = None
        self._publish(self._chain.idle())

    def _publish(self, lines: Sequence[OutLine]) -> None:
        if not lines:
            return
        self.lines += len(lines)
        self._feed.publish_lines([(line.text, line.raw_end, line.skip) for line in lines])

    def set_profile(self, profile: KindProfile) -> None:
        """The kind's options changed, or the agent's version became known; whether it draws or prints stays."""
        before, self._profile = self._profile, profile
        if self._transcript is not None and profile.transcript != before.transcript:
            self._transcript.set_rules(profile.transcript)

    def change_filters(self) -> int:
        """Judge by other filters from here on; what the old ones held back comes out first.

        The raw offset up to which the old ones have judged.
        """
        self._publish(self._chain.flush())
        self._chain = self._make_chain(self._chain.fed_to)
        return self._chain.fed_to

    def gap(self, gap: Gap) -> None:
        """Tell readers that output was lost."""
        self._flush_unfinished()
        self.gaps += 1
        self._feed.publish_event(Kind.GAP, gap)

    def _schedule(self) -> None:
        """Call the transcript back when rows will have settled."""
        due = None if self._transcript is None else self._transcript.due()
        self._cancel_timer()
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due - monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._transcript is not None:
            self._publish_texts(self._transcript.tick())
            self._schedule()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lines_after(self, n: int) -> list[str]:
        """Texts of the held lines whose number is greater than `n`."""
        return self._feed.lines_after(n)

    async def reply_lines(self, n: int, prompt: str) -> str:
        """The lines after line `n` as an answer: without the echo of `prompt`, after rows had time to settle."""
        if self._transcript is not None:
            await asyncio.sleep(_SETTLED_S)
            for _ in range(_MORE_POLLS):
                if self._transcript.due() is None and not (self._unseen and self._unseen.waiting):
                    break
                await asyncio.sleep(_SETTLED_POLL_S)
        return without_echo(self.lines_after(n), self.filtered(prompt), self._profile.transcript.echo)

    def _recent_lines(self) -> list[str]:
        return self.lines_after(max(0, self._feed.last_n() - 4000))

    # -- what is seen --

    def set_activity(self, state: ActivityState) -> None:
        if self._transcript is not None:
            self._transcript.set_activity(state)
            self._schedule()

    def resize(self, size: Size) -> None:
        self._size = size
        if self._transcript is not None:
            self._publish_texts(self._transcript.resize(size.rows, size.cols))
        else:
            self._emulator.resize(size.rows, size.cols)

    @property
    def chain(self) -> OutputChain:
        """The filters at work; another object after each change of them."""
        return self._chain

    @property
    def raw_text(self) -> str:
        """The visible screen unfiltered: for rules, never for people."""
        return self._emulator.text()

    def typed_text(self) -> str:
        """The visible screen unfiltered, without placeholders and suggestions: what stands in the input box."""
        return self._emulator.typed_text()

    @property
    def raw_title(self) -> str:
        return self._emulator.title

    @property
    def bracketed_paste(self) -> bool:
        return self._emulator.bracketed_paste

    @property
    def application_cursor(self) -> bool:
        return self._emulator.application_cursor

    @property
    def size(self) -> Size:
        return self._size

    def filtered(self, text: str) -> str:
        """`text` of any surface as the slot's filters let it be shown."""
        return self._chain.block(text) if text else text

    def piece(self, text: str) -> str:
        """`text`, which may be cut out of the screen as it is now, as it may be shown.

        Cut out, it may be the rest of a secret whose beginning lies outside of it: what the whole screen would not
        show is withheld.
        """
        shown = self.filtered(text)
        if not text or shown != text or not self._chain.filters:
            return shown
        rows = self._emulator.rows()
        hidden = text in "\n".join(rows) and text not in "\n".join(self._shown_rows(rows))
        return WITHHELD_PIECE if hidden else shown

    def _shown_rows(self, rows: list[str]) -> list[str]:
        """Rows of the screen as they may be shown, judged together with the lines that scrolled off above them."""
        above = self._emulator.above() if self._chain.filters else []
        shown = self.filtered("\n".join([*above, *rows])).split("\n")
        if len(shown) == len(above) + len(rows):
            return shown[len(above) :]
        return self.filtered("\n".join(rows)).split("\n")

    def screen(self) -> Screen:
        """What a person would see now, filtered."""
        row, col = self._emulator.cursor
        rows = self._shown_rows(self._emulator.rows())
        return Screen(
            rows=rows, cursor=Cursor(row=row, col=col), title=self.filtered(self._emulator.title), size=self._size,
            alternate=self._emulator.alternate,
        )  # fmt: skip

    def painted(self) -> bytes:
        """The screen and everything else of the terminal, unfiltered, as bytes for another terminal: as after the
        journal's newest raw byte.
        """
        held = b"" if self._transcript is None else self._transcript.held
        return self._emulator.painted() + held

    @property
    def alternate(self) -> bool:
        return self._emulator.alternate

    def close(self) -> None:
        self._cancel_timer()
        self._cancel_idle()
        self._emulator.close()
