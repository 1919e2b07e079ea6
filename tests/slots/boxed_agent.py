"""An agent with an input box that can be read, as the typist's terminal: what it is sent changes what it shows."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from meshd_core.clock import now_ms
from meshd_core.contracts.kinds import KindProfile, Observation, SubmitRecipe, TranscriptRules, Turn
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.receipts import Entry, ReceiptStore
from meshd_core.slots.tasks import SlotTasks
from meshd_core.slots.turns import Outcome
from meshd_core.slots.typist import Typist
from meshd_core.types import Stage

PROFILE = KindProfile(
    name="boxed", title="Boxed", commands=("boxed",), install_hint="", proves="completed",
    submit=SubmitRecipe(
        settle_s=0.2, confirm_s=0.1, input_box=r"^> (.*?)\n--", sees_drafts=True, clear="\x15",
    ),
    transcript=TranscriptRules(echo=(r"^> ",)),
)  # fmt: skip


class BoxedAgent:
    """Its box is drawn while it holds at most `shows` characters; Ctrl-U takes `clears` of them from the end."""

    def __init__(self, text: str = "", *, shows: int = 400, clears: int = 1000) -> None:
        self.text, self.shows, self.clears = text, shows, clears
        self.written: list[str] = []
        self.prompts: list[str] = []
        self.works = True
        self.takes = True
        self.hides = False
        self.deaf = False
        """Something else takes the keys."""
        self.printed_over = ""
        """What stands on the screen in place of all else, until it is drawn anew."""
        self.redraws = 0
        self.frozen = False
        """It reads nothing for now."""
        self._unread = ""
        self.says: list[str] = []
        """Below the echo of each prompt that it takes."""
        self._lines: list[str] = []
        self.after: Callable[[str], None] = lambda written: None
        """Called after each write."""
        self.worked = 0
        self.dialog_open = self.at_work = False
        self.raw_head = self.keys_written = 0
        self.unsent = False
        self.bracketed_paste = True
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def prompt(self) -> AsyncIterator[None]:
        async with self._turn:
            yield

    def typed_text(self) -> str:
        if self.printed_over:
            return self.printed_over
        return "" if self.hides or len(self.text) > self.shows else f"> {self.text}\n--"

    def screen_rows(self) -> list[str]:
        return self.typed_text().split("\n")

    @property
    def last_n(self) -> int:
        return len(self._lines)

    def lines_after(self, n: int) -> list[str]:
        return self._lines[n:]

    async def wait_worked(self, past: int, timeout_s: float) -> bool:
        if self.worked <= past:
            await asyncio.sleep(min(timeout_s, 0.01))
        return self.worked > past

    async def write(self, data: bytes, timeout_s: float) -> None:
        text = data.decode()
        self.written.append(text)
        self._unread += text
        if not self.frozen:
            self.read()
        self.after(text)

    async def redraw(self) -> None:
        self.redraws += 1
        self.printed_over = ""

    def read(self, most: int | None = None) -> None:
        """Take what was written meanwhile, or the first `most` characters of it."""
        text, self._unread = self._unread[:most], self._unread[len(self._unread) if most is None else most :]
        for key in re.findall(r"\x1b\[20[01]~|.", text, re.DOTALL):
            if key == "\x15":
                self.text = self.text[: -self.clears]
            elif key == "\r":
                self._enter()
            elif not key.startswith("\x1b") and not self.deaf:
                self.text += key

    def _enter(self) -> None:
        if self.takes:
            self.prompts.append(self.text)
            self._lines += [f"> {self.text}", *self.says]
            self.text = ""
            self.worked += self.works


def entry(text: str = "a prompt") -> Entry:
    return Entry(
        id="1@n", slot="s", node="n", text=text, submit=True, when="idle", created_ms=now_ms(), expires_ms=0,
        changes=(), principal="p", key=None, fingerprint="f",
    )  # fmt: skip


async def no_records(turn: Turn) -> None:
    return None


def moved(one: Entry, *stages: Stage) -> None:
    for stage in stages:
        one.move(stage)


@asynccontextmanager
async def queue_of(
    agent: BoxedAgent, folder: Path, profile: KindProfile = PROFILE, draft: bool = False,
    finished: Callable[[Turn], Awaitable[bool | None]] = no_records, left: Sequence[Entry] = (),
) -> AsyncIterator[tuple[InjectQueue, ReceiptStore]]:  # fmt: skip
    """A queue at work; with `draft`, after an earlier daemon died while it typed a prompt, or with what is `left`."""
    tracker = ActivityTracker(profile, lambda: None)
    tracker.observe(Observation("api", "test", "idle"))
    store = ReceiptStore(folder / "receipts.db")

    async def no_reply(one: Entry, interrupted: bool) -> Outcome:
        return Outcome()

    queue = InjectQueue("s", "n", profile, store, tracker, lambda receipt: None, lambda: None, no_reply, lambda: 9.0)
    if draft:
        before = entry("of before")
        moved(before, "accepted", "writing")
        left = [before]
    for one in left:
        store.save(one)
    queue.load()
    in_doubt = queue.in_doubt()
    queue.agent_started(Typist(agent, profile, queue.record, finished))
    if in_doubt is not None:
        queue.doubt(in_doubt, paste_open=True)
    async with SlotTasks("s").running(lambda: None, queue=queue.run):
        yield queue, store
    store.close()
