"""Replay a recording through the machine that watches a slot: terminal, transcript, screen watch, activity tracker.

The parts are core's own, wired as `meshd_core.slots.slot` wires them; only the process and the time are not real. Same
recording and code, same result.
"""

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.contracts.kinds import AgentKind, KindProfile, Run
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.agent_channel import AgentChannel
from meshd_core.slots.feed import Feed
from meshd_core.slots.observer import Observer
from meshd_core.slots.output import Output
from meshd_core.slots.unseen_rows import UnseenRows
from meshd_core.slots.versions import profile_for_version
from meshd_core.terminal.journal import WINDOW, Journal
from meshd_core.terminal.output_chain import OutputChain
from meshd_core.testing.corpus.cast import Cast, parse_size
from meshd_core.testing.corpus.landmarks import Landmarks, landmarks
from meshd_core.testing.corpus.on_screen import compact, first_seen, looks
from meshd_core.testing.corpus.records import RecordedKind
from meshd_core.testing.corpus.truth import Truth
from meshd_core.testing.corpus.virtual_time import run_in_virtual_time
from meshd_core.types import Activity, ActivityState, Dialog, Evidence, Size, StateEvent

UNKNOWN_VERSION = "none"
"""In no range: rules and variants as they are for a version that a kind has no data of."""
_REPLY_END = 40
"""Characters, without spaces."""
_RAW_BYTES, _RECORD_BYTES = 4 * WINDOW, 1 << 20


class Moment(Struct, frozen=True):
    """What the tracker said from `at` on."""

    at: float
    state: ActivityState
    evidence: tuple[Evidence, ...] = ()
    dialog: Dialog | None = None


class Emitted(Struct, frozen=True):
    """A clean line and when it was told."""

    at: float
    text: str


class Replay(Struct, frozen=True):
    """What the machine made of a recording. `shown`: when each of the truth's lines first stood whole on the screen,
    None if it never did; `drawn`: likewise the end of each prompt's reply. These and `landmarks` are of the recording
    alone, whatever the machine made of it.
    """

    timeline: tuple[Moment, ...]
    lines: tuple[Emitted, ...]
    shown: tuple[float | None, ...]
    drawn: tuple[float | None, ...] = ()
    landmarks: Landmarks = Landmarks()


def replay(cast: Cast, truth: Truth, profile: KindProfile, version: str, *, channel: bool = True) -> Replay:
    """Replay by `profile` as it is for `version`; without what the agent's own channels told if not `channel`."""
    with tempfile.TemporaryDirectory(prefix="meshd-replay-") as folder:
        journal = Journal.open(Path(folder) / "journal", raw_bytes=_RAW_BYTES, record_bytes=_RECORD_BYTES)
        try:
            timeline, lines = run_in_virtual_time(_replay(cast, truth, profile, version, channel, journal))
        finally:
            journal.close()
    ends = [compact(prompt.reply)[-_REPLY_END:] for prompt in truth.prompts]
    screens = looks(cast)
    seen = first_seen(screens, [*truth.lines, *ends])
    shown, drawn = seen[: len(truth.lines)], seen[len(truth.lines) :]
    return Replay(timeline, lines, shown, drawn, landmarks(cast, truth.cli, screens))


async def _replay(
    cast: Cast, truth: Truth, profile: KindProfile, version: str, channel: bool, journal: Journal
) -> tuple[tuple[Moment, ...], tuple[Emitted, ...]]:
    loop = asyncio.get_running_loop()
    errors: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception") or RuntimeError(context)))
    kind = RecordedKind(truth) if channel else AgentKind()
    slot = _Slot(profile, version, kind, Size(rows=cast.header.height, cols=cast.header.width), journal)
    checks = asyncio.create_task(slot.observer.check_silence())
    for event in cast.events:
        if event.code in "or":
            await asyncio.sleep(event.at - loop.time())
        if event.code == "r":
            slot.output.resize(parse_size(event.data))
        elif event.code == "o":
            slot.take(event.data.encode())
    await asyncio.sleep(truth.ends - loop.time())
    checks.cancel()
    if errors:  # of timers: of a slot they would be logged, and it would live on
        raise errors[0]
    return slot.finish(ended=truth.exit is not None)


def _spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name)


class _Slot:
    """The half of a slot that sees."""

    def __init__(self, profile: KindProfile, version: str, kind: AgentKind, size: Size, journal: Journal) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeline: list[Moment] = [Moment(0.0, "unknown")]
        self._lines: list[Emitted] = []
        self.tracker = ActivityTracker(profile, self._activity_changed)
        self.tracker.set_profile(profile, version)
        self._feed = Feed(journal, StateEvent(status="running", activity=self.tracker.activity))
        self._read_to = self._feed.head
        self._feed.watch(self._told)
        self._channel = AgentChannel(
            "replay", kind, self.tracker.observe, lambda _: None, lambda _: None, _spawn
        )  # fmt: skip
        self.output = Output(
            journal, self._feed, profile_for_version(profile, version),
            lambda start: OutputChain("replay", (), start=start), size,
            reply=lambda _: None, signal=lambda signal, _: self.tracker.signal(signal), touched=self._touched,
            unseen=UnseenRows("replay", self._channel, _spawn),
        )  # fmt: skip
        self.observer = Observer(self.tracker, self.output, lambda: True)
        self._channel.open(Run("replay", 0, 0, "", {}, {}), adopted=False)
        self._pipe = os.pipe()

    def take(self, data: bytes) -> None:
        """The program has written `data`."""
        reader, writer = self._pipe
        while data:
            left = os.write(writer, data[:WINDOW])
            data = data[left:]
            while left:
                left -= self.output.read_from(reader)

    def finish(self, *, ended: bool) -> tuple[tuple[Moment, ...], tuple[Emitted, ...]]:
        """The end of the recording; with `ended` that of the program too, whose last rows then become lines."""
        self.observer.close()
        if ended:
            self.output.end()
        self._channel.close()
        self.output.give_up_unseen()
        self.output.close()
        for fd in self._pipe:
            os.close(fd)
        return tuple(self._timeline), tuple(self._lines)

    def _touched(self, when: float) -> None:
        self.observer.touched(when)

    def _activity_changed(self) -> None:
        activity: Activity = self.tracker.activity
        self.output.set_activity(activity.state)
        self._timeline.append(Moment(self._loop.time(), activity.state, activity.evidence, self.tracker.dialog))

    def _told(self) -> None:
        for event in self._feed.read(self._read_to):
            self._read_to = event.end
            if event.event == "line":
                self._lines.append(Emitted(self._loop.time(), event.data.decode()))
