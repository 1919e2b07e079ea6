"""One slot: its parts wired together, and the views of it that go over the wire."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.config.model import SlotSection
from meshd_core.contracts.events import EventData
from meshd_core.contracts.kinds import KindProfile, Run
from meshd_core.errors import SlotNotRunning
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.agent_channel import AgentChannel
from meshd_core.slots.announcer import Announcer
from meshd_core.slots.changes import Changes
from meshd_core.slots.conversation import ConversationView, Prompts
from meshd_core.slots.ending import KeeperLink
from meshd_core.slots.feed import Feed
from meshd_core.slots.hands import Hands
from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.intake import Intake
from meshd_core.slots.keyboard import Keyboard
from meshd_core.slots.lifecycle import Lifecycle
from meshd_core.slots.observer import Observer
from meshd_core.slots.output import Output
from meshd_core.slots.plan import Differences, LivingPlan, SlotPlan, launcher_of
from meshd_core.slots.proofs import Proofs
from meshd_core.slots.receipts import ReceiptStore, exit_text
from meshd_core.slots.replies import Replies
from meshd_core.slots.run_memory import RunMemory
from meshd_core.slots.shared_terminal import SharedTerminal
from meshd_core.slots.state_wait import StateWait
from meshd_core.slots.tasks import SlotTasks
from meshd_core.slots.typist import Typist
from meshd_core.slots.unseen_rows import UnseenRows
from meshd_core.slots.versions import profile_for_version
from meshd_core.slots.views import Views
from meshd_core.terminal.emulator import Signal
from meshd_core.terminal.journal import Journal
from meshd_core.terminal.output_chain import OutputChain
from meshd_core.types import (
    ConfigState,
    ExitStatus,
    Explanation,
    InjectRequest,
    MessagePage,
    Receipt,
    Screen,
    Size,
    SlotDetail,
    StateEvent,
)
from meshd_core.types import Slot as SlotView

log = logging.getLogger(__name__)

_READERS_GONE_S = 3.0


class Slot:
    """A named agent on this node. `running()` owns its tasks; everything else is called from the event loop."""

    def __init__(
        self, plan: SlotPlan, journal: Journal, keeper: KeeperLink, store: ReceiptStore,
        tell: Callable[[EventData], None], agents: AgentTokens,
    ) -> None:  # fmt: skip
        section = plan.section
        self.name = section.name
        self._tasks = SlotTasks(section.name)
        self._changes = Changes()
        self._plan = LivingPlan(plan, self._configured)
        self._memory = RunMemory(section.name, plan.folder, agents)
        self.launcher = launcher_of(plan)
        self._filter_errors = 0
        self._journal = journal
        self._tracker = ActivityTracker(plan.profile, self._activity_changed)
        self.feed = Feed(self._journal, StateEvent(status="stopped", activity=self._tracker.activity))
        self._channel = AgentChannel(
            self.name, plan.kind, self._tracker.observe, self._version_known, self._resumable,
            self._tasks.spawn,
        )  # fmt: skip
        self._output = Output(
            self._journal, self.feed, plan.profile,
            lambda start: OutputChain(self.name, self._plan.now.filters, start=start, on_error=self._filter_failed),
            Size(rows=section.rows, cols=section.cols), reply=self._answer_query, signal=self._signal,
            touched=self._touched, unseen=UnseenRows(section.name, self._channel, self._tasks.spawn),
        )  # fmt: skip
        self._observer = Observer(self._tracker, self._output, lambda: self._life.child is not None)
        self._keyboard = Keyboard(
            self._journal, self._output, self._tracker, master=lambda: self._life.master,
            redraw=lambda: self._life.redraw(),  # noqa: PLW0108 - it is made below
        )  # fmt: skip
        self._announcer = Announcer(self.feed, tell)
        self._prompts = Prompts()
        self.queue = InjectQueue(
            section.name, plan.node, plan.profile, store, self._tracker,
            publish=self._announcer.receipt_moved, shorter=self._announcer.queue_moved,
            reply=Replies(self._channel, self._output, self.feed, self._prompts).of,
            silent_s=lambda: self._observer.silent_s,
        )  # fmt: skip
        self._life = Lifecycle(
            self.launcher, keeper, self._output, lambda: self._journal.raw_head,
            extras=lambda: self._memory.extras(self.section), on_start=self._about_to_start,
            on_stop=self._memory.stopping, on_change=self._state_changed, on_begin=self._run_began,
            on_end=self._run_ended, spawn_task=self._tasks.spawn,
        )  # fmt: skip
        self.hands = Hands(
            section.name, plan.profile.keys, self._keyboard, self._tracker,
            look=self._observer.look, wait=self._changes.wait, interrupted=self.queue.interrupted,
            typed=self.queue.human.typed, answered_itself=self._channel.answer,
        )  # fmt: skip
        self.terminal = SharedTerminal(
            section.name, self._journal, self._output, self._life, self.hands,
            filters=lambda: self._plan.now.filters, raw_allowed=lambda: self.section.raw == "allow",
        )  # fmt: skip
        self._views = Views(
            plan.node, self.launcher, self._life, self._tracker, self._output, self.queue, self.feed, self._keyboard,
            lambda: self._filter_errors, lambda: self._plan.state,
        )  # fmt: skip
        self._announcer.open(self._views)
        self._life.exit = self.feed.newest_exit()
        self._life.forbid(plan.unavailable)
        self.wait_for = StateWait(self._changes, self._life, self._tracker).wait_for
        self._intake = Intake(self.name, self._plan, self._life, self.queue)
        self._conversation = ConversationView(self._channel, self.feed, self._prompts, self._output.filtered)
        self._proofs = Proofs()
        self._leaving = self._ran_before = False

    # -- what is seen --

    def view(self) -> SlotView:
        return self._views.slot()

    def detail(self) -> SlotDetail:
        return self._views.detail()

    def explain(self) -> Explanation:
        return self._views.explain(self._observer.silent_s)

    def screen(self) -> Screen:
        return self._output.screen()

    async def messages(self, before: str | None, limit: int) -> MessagePage:
        """The conversation of the present run. Raises SlotNotRunning, and what `ConversationView.page` raises."""
        if self._life.child is None:
            raise SlotNotRunning(
                f"slot {self.name} is {self._life.status}: it has no conversation now",
                hint=f"'meshd tail {self.name}' has the output of its last run",
            )
        return await self._conversation.page(before, limit)

    # -- configuration --

    @property
    def section(self) -> SlotSection:
        """What the slot lives by now; of a living agent's, the part that it was started with."""
        return self._plan.now.section

    @property
    def profile(self) -> KindProfile:
        """The kind's data as they are for the version of the agent that runs."""
        return profile_for_version(self._plan.now.profile, self._views.agent_version)

    @property
    def config(self) -> ConfigState:
        return self._plan.state

    def update(self, plan: SlotPlan) -> Differences:
        """Take up a changed configuration: at once what a living agent allows, at its next start the rest.

        What differed from what the slot lived by.
        """
        differences = self._plan.update(plan, self._life.alive)
        self._memory.changed(self.section, self._life.alive)
        self._life.last_run = False
        self._announcer.config_changed()
        self._changes.wake()
        return differences

    def retire(self) -> None:
        """The file has this slot no more: no prompts, no start; what runs may be stopped."""
        self._plan.retired = self._life.last_run = True
        self._memory.retired()
        self._life.cancel_restart()
        self.queue.retire()
        self._announcer.config_changed()

    def appeared(self) -> None:
        """A reload brought the slot: tell of it."""
        self._announcer.config_changed()

    async def over(self) -> None:
        """Wait until a slot that was retired has no agent any more, or isn't retired any more."""
        await self._changes.wait(lambda: self.config != "removed" or not self._life.alive, None)

    def _configured(self, before: SlotPlan) -> None:
        plan = self._plan.now
        self.launcher.configure(plan.section, plan.kind, self.profile, plan.secret_names)
        if plan.profile != before.profile:
            self._use_version(self._views.agent_version)
        self._channel.kind = plan.kind
        if self._life.forbid(plan.unavailable):
            self._state_changed()
        if plan.section.filters != before.section.filters:
            self._memory.judged_to = self._output.change_filters()
        size = Size(rows=plan.section.rows, cols=plan.section.cols)
        if self._life.master is not None and size != Size(rows=before.section.rows, cols=before.section.cols):
            self.resize(size)

    # -- tasks --

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The slot lives inside: its queue, its session, its timers. Leaving lets go of the agent, not ends it."""
        async with self._tasks.running(self._leave, queue=self.queue.run, silence=self._observer.check_silence):
            yield

    def _leave(self) -> None:
        self._leaving = True
        self._life.leave()
        self._channel.close()
        self._output.give_up_unseen()

    def close_readers(self, reason: str = "draining") -> None:
        """The daemon drains, or the slot is removed: streams say `bye`, waits end."""
        self.queue.close()
        self.feed.close(reason)

    async def removed(self) -> None:
        """The slot is no more: tell everyone, and wait until nobody reads it; `close` comes next."""
        self._announcer.removed()
        self.terminal.close()
        self.close_readers("removed")
        self._changes.close()
        await self.feed.readers_gone(_READERS_GONE_S)

    def close(self) -> None:
        """After `running`: free the terminal and the journal."""
        self._observer.close()
        self._output.close()
        self._journal.close()

    # -- commands --

    async def start(self, resume: bool = False) -> None:
        await self._life.start(resume=resume)

    async def start_unasked(self) -> None:
        """Start as the configuration wants it: what an earlier daemon's last run talked about goes on, or not."""
        await self._life.start(resume=self.section.resume and self._ran_before)

    async def stop(self, grace_s: float | None = None) -> None:
        await self._life.stop(grace_s)

    async def restart(self, resume: bool = False, grace_s: float | None = None) -> None:
        """Stop, then start. Raises SlotRemoved and StartFailed, without a stop if no start could follow it."""
        plan = self._plan.upcoming
        if self._life.child is not None:
            launcher_of(plan).check()
        await self._life.restart(resume=resume, grace_s=grace_s)

    def resize(self, size: Size) -> None:
        self.terminal.resized_by = None  # every attached terminal is told, also the one that gave the last size
        self._life.resize(size)

    def _about_to_start(self) -> None:
        self._plan.take_up()
        self._memory.about_to_start(self.section)
        self._use_version(None)

    async def adopt(self, child: ChildInfo) -> None:
        """Take over a run that an earlier daemon started."""
        record = self._memory.take_over(child, self.section)
        self._use_version(record.agent_version)
        self.queue.load()
        if (state := self.feed.newest_state()) is not None:
            self._tracker.restore(state.activity, state.dialog)
        entry = self.queue.in_doubt()
        self._proofs.begin()
        await self._life.adopt(child, [entry.raw_mark] if entry is not None else [], record)

    def child_exited(self, info: ChildInfo) -> None:
        """The keeper's notice. While this daemon leaves, it is the next one's: the keeper keeps it until forgotten."""
        if not self._leaving:
            self._life.child_exited(info)

    def not_adopted(self) -> None:
        """No run of this slot is left: what an earlier daemon had queued can't be typed any more."""
        if (record := self._memory.last_run(self.section)) is not None:
            self._ran_before = True
            self._life.recall(record)
        self.queue.load()
        self.queue.agent_exited(exit_text(self.name))

    async def inject(
        self, request: InjectRequest, principal: str, key: str | None, receipt: str | None = None
    ) -> Receipt:
        """Queue a prompt and wait for its `until`. Raises what `Intake.inject` raises."""
        return await self._intake.inject(request, principal, key, receipt)

    @property
    def alive(self) -> bool:
        """Whether an agent runs, or is being started or stopped."""
        return self._life.alive

    @property
    def runs(self) -> list[str]:
        """The runs that may still have processes."""
        return self._life.runs

    @property
    def child(self) -> ChildInfo | None:
        """The run that is alive, if one is."""
        return self._life.child

    @property
    def master_fd(self) -> int | None:
        return None if self._life.master is None else self._life.master.fd

    # -- runs --

    def _run_began(self, child: ChildInfo, adopted: bool) -> None:
        self._prompts.begin(0 if adopted else self.feed.last_n())
        if not adopted:
            self._memory.began(child.run)
            self._tracker.reset()
            self._keyboard.unsent = False
        run = Run(
            slot=self.name, pid=child.pid, started_at_ms=child.started_at_ms, cwd=str(self.launcher.folder()),
            env={}, meta=child.meta, found_out=self._memory.found_out,
        )  # fmt: skip
        self._channel.open(run, adopted)
        record = self._prompts.noting(self.queue.record)
        typist = Typist(self._keyboard, self.profile, record, self._channel.finished, self._channel.began)
        self._proofs.start(self.queue, typist, adopted)
        if adopted and self._output.cut and self.profile.output == "screen":
            self._tasks.spawn(self._life.redraw(), f"redraw {self.name}")
        self._observer.run_began()
        self.terminal.run_began()

    def _run_ended(self, status: ExitStatus, pid: int) -> None:
        self._memory.ended()
        self._channel.learn()
        self._channel.close()
        self._tracker.reset()
        self.queue.agent_exited(exit_text(self.name))
        self._announcer.run_ended(status, pid)
        self.terminal.run_ended(status, pid)

    # -- what happens --

    def _answer_query(self, data: bytes) -> None:
        self._keyboard.answer(data)

    def _signal(self, signal: Signal, at: int) -> None:
        if self._life.child is None:
            self._proofs.note(at, signal.state)
        self._tracker.signal(signal)

    def _touched(self, when: float) -> None:
        self._observer.touched(when)
        self._channel.terminal_moved()
        self.terminal.changed()

    def _version_known(self, version: str) -> None:
        self._memory.version_known(version)
        self._use_version(version)
        self._observer.look()

    def _resumable(self, meta: Mapping[str, str]) -> None:
        self._life.remember(meta)
        self._memory.resumable(meta)

    def _use_version(self, version: str | None) -> None:
        """Go by the kind's data for this version of the agent; None: it is not known yet."""
        self._views.agent_version = version
        profile = self.profile
        self._tracker.set_profile(self._plan.now.profile, version)
        self._output.set_profile(profile)
        self.queue.set_profile(profile)
        self.launcher.profile, self.hands.keys = profile, profile.keys

    def _activity_changed(self) -> None:
        self._output.set_activity(self._tracker.activity.state)
        self._keyboard.activity_changed()
        self.queue.activity_changed()
        if self._life.child is not None:
            self._state_changed()

    def _state_changed(self) -> None:
        """Tell readers, waiters and the snapshot; the journal's `state` events are what an adoption starts from."""
        if self._life.status == "stopping":
            self.queue.agent_stopping()
        self._announcer.state_changed()
        self.terminal.changed()
        self._changes.wake()

    def _filter_failed(self, name: str, error: Exception) -> None:
        self._filter_errors += 1
        log.error("output filter failed", extra={"slot": self.name, "filter": name, "reason": type(error).__name__})
