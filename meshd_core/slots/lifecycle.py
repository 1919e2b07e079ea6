"""One slot's process: start, stop, restart, adopt, and what follows when it ends.

The keeper owns the process, this owns what it means: the status of docs/protocol.md section 5, the restart policy, and
that no process of a run is left behind when the run is over.
"""

import asyncio
import logging
import signal
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from meshd_core.clock import rfc3339
from meshd_core.errors import MeshdError, SlotAlreadyRunning, SlotNotRunning, StartFailed
from meshd_core.pty.errors import KeeperError, SpawnError, WriteError
from meshd_core.pty.master import Master, terminal_size
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.ending import KILL_GRACE_S, KeeperLink, RunEnder
from meshd_core.slots.launch import Launcher
from meshd_core.slots.output import Output
from meshd_core.slots.restart_policy import RestartBudget, wants_restart
from meshd_core.slots.run_record import EARLIER_RUNS, RunRecord, Then
from meshd_core.types import ExitStatus, Size, Status

log = logging.getLogger(__name__)

_LAST_READ_BYTES = 16 * 1024 * 1024
_REDRAW_PAUSE_S = 0.2
_RAW_BASE = "meshd.raw_base"
"""Key in a run's meta: the raw journal offset at which the run began."""


class Lifecycle:
    """The process of one slot. `extras()` gives more variables and meta for the run that is about to start.

    `on_start()` comes before each start is planned, `on_stop(run, then)` before each stop,
    `on_stop(None, None)` after it, `on_change()` after each change of status, `on_begin`/`on_end` around runs.
    """

    def __init__(
        self,
        launcher: Launcher,
        keeper: KeeperLink,
        output: Output,
        raw_head: Callable[[], int],
        *,
        extras: Callable[[], tuple[Mapping[str, str], Mapping[str, str]]],
        on_start: Callable[[], None],
        on_stop: Callable[[str | None, Then], None],
        on_change: Callable[[], None],
        on_begin: Callable[[ChildInfo, bool], None],
        on_end: Callable[[ExitStatus, int], None],
        spawn_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._launcher, self._name = launcher, launcher.section.name
        self._keeper, self._output, self._raw_head = keeper, output, raw_head
        self._extras = extras
        self._on_start, self._on_stop, self._on_change = on_start, on_stop, on_change
        self._on_begin, self._on_end = on_begin, on_end
        self._spawn_task = spawn_task
        self._lock = asyncio.Lock()
        self._budget = RestartBudget()
        self._backoff: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._early_exits: dict[str, ChildInfo] = {}
        self._clean_ups: dict[str, asyncio.Task[None]] = {}
        self._ender = RunEnder(keeper, self._name)
        self._sweep_grace_s = KILL_GRACE_S
        self._last_meta: dict[str, str] = {}
        self._earlier_meta: deque[dict[str, str]] = deque(maxlen=EARLIER_RUNS)
        self.status: Status = "stopped"
        self.child: ChildInfo | None = None
        self.master: Master | None = None
        self.exit: ExitStatus | None = None
        self.restarts = 0
        self.error: str | None = None
        self._forbidden: str | None = None
        self.last_run = False
        """Whether no start follows this run, however it ends."""

    def forbid(self, reason: str | None) -> bool:
        """This slot can't be started, and why; what runs already is shown. None: it can, from now on.

        Whether the status changed by that.
        """
        if reason is not None:
            self.error = reason
        elif self._forbidden is not None:
            self.error = None
        before, self._forbidden = self._forbidden, reason
        if self.alive or (before is None) == (reason is None):
            return False
        self.status = "stopped" if reason is None else "failed"
        return True

    @property
    def runs(self) -> list[str]:
        """The runs that still have, or may have, processes: the living one, and those that are being cleaned up."""
        return [*self._clean_ups, *([] if self.child is None else [self.child.run])]

    @property
    def alive(self) -> bool:
        """Whether an agent runs, or is being started or stopped."""
        return self.child is not None or self.status in ("starting", "stopping")

    def remember(self, meta: Mapping[str, str]) -> None:
        """What a later start with `resume` needs, beside what the run was launched with."""
        self._last_meta.update(meta)

    def recall(self, record: RunRecord) -> None:
        """What an earlier daemon knew of the last runs."""
        self.remember(record.resume)
        self._earlier_meta = deque(record.earlier, maxlen=EARLIER_RUNS)

    # -- commands --

    async def start(self, *, resume: bool = False) -> None:
        """Start the agent. Raises SlotAlreadyRunning, StartFailed."""
        async with self._lock:
            if self.child is not None:
                raise SlotAlreadyRunning(f"slot {self._name} is {self.status} already", pid=self.child.pid)
            self._cancel_backoff()
            self._budget.reset()
            await self._start(resume)

    async def stop(self, grace_s: float | None = None) -> None:
        """End the agent and every process of its run: politely, then TERM, then KILL. Raises SlotNotRunning."""
        async with self._lock:
            if self.child is None:
                if self.status == "stopped":
                    raise SlotNotRunning(f"slot {self._name} is not running")
                self._cancel_backoff()
                self.error = self._forbidden
                self._set("stopped")
                return
            await self._stop(self.child, grace_s)

    async def restart(self, *, resume: bool = False, grace_s: float | None = None) -> None:
        """Stop if running, then start. Raises StartFailed."""
        async with self._lock:
            self._cancel_backoff()
            self._budget.reset()
            if self.child is not None:
                await self._stop(self.child, grace_s, "resume" if resume else "start")
            await self._start(resume)
            self.restarts += 1

    async def adopt(self, child: ChildInfo, marks: Sequence[int], record: RunRecord) -> None:
        """Take over a run that an earlier daemon started, its backlog included, and its end if it ended meanwhile.

        A stop that the earlier daemon died in is carried through, and so is a restart.
        """
        async with self._lock:
            # What the agent's session had found out is newer than what the run was launched with.
            self._last_meta = dict(child.meta)
            self.recall(record)
            base = int(child.meta.get(_RAW_BASE, "0"))
            backlog, fd = await self._keeper.client.attach(child.run)
            size = None if fd is None else terminal_size(fd)  # it may have been resized since its start
            self._output.restore(base, size or self.configured_size(), marks, record.judged_to)
            await self._output.backlog(zlib.crc32(child.run.encode()), backlog)
            await self._keeper.client.acknowledge(child.run, backlog.gen)
            ending = record.ending == child.run
            self._begin(child, fd, adopted=True, status="stopping" if ending else "running")
            if child.exited_at_ms is not None:
                self.child_exited(child)
            if ending:
                self._spawn_task(self._finish_stop(child, record.then), f"stop {self._name}")

    def resize(self, size: Size) -> None:
        """Give the agent's terminal `size` until its next start. Raises SlotNotRunning."""
        if self.master is None:
            raise SlotNotRunning(f"slot {self._name} is not running")
        self._output.resize(size)
        self.master.resize(size.rows, size.cols)
        self._on_change()

    async def redraw(self) -> None:
        """Make the agent draw its whole screen, by a change of size and back: to the one that it is to have by then."""
        try:
            self._fit(rows_less=1)
            await asyncio.sleep(_REDRAW_PAUSE_S)
        finally:
            self._fit()
        await asyncio.sleep(_REDRAW_PAUSE_S)

    def _fit(self, rows_less: int = 0) -> None:
        """Give the agent's terminal, if there is one, the size that the emulator has."""
        if self.master is not None:
            size = self._output.size
            try:
                self.master.resize(size.rows - rows_less, size.cols)
            except OSError as error:
                log.warning("terminal not resized", extra={"slot": self._name, "reason": str(error)})

    def configured_size(self) -> Size:
        """What the terminal has unless someone asks for another size."""
        section = self._launcher.section
        return Size(rows=section.rows, cols=section.cols)

    # -- runs --

    async def _start(self, resume: bool) -> None:
        self._on_start()
        if self._forbidden is not None:
            raise StartFailed(f"slot {self._name} can't be started: {self._forbidden}")
        self._set("starting")
        try:
            env, meta = self._extras()
            spec = self._launcher.plan(
                resume=resume, last_meta=self._last_meta, earlier_meta=self._earlier_meta, extra_env=env,
                extra_meta={_RAW_BASE: str(self._raw_head()), **meta},
            )  # fmt: skip
            self._output.begin(self.configured_size())
            child, fd = await self._keeper.client.spawn(spec)
        except (MeshdError, SpawnError, KeeperError) as error:
            failure = error if isinstance(error, StartFailed) else StartFailed(str(error))
            self._fail(failure)
            raise failure from error
        if not resume and self._last_meta:
            self._earlier_meta.appendleft(self._last_meta)
        self._last_meta = dict(child.meta)
        self.error = None
        self._begin(child, fd, adopted=False)

    def _fail(self, failure: StartFailed) -> None:
        self.error = f"{failure.message}; {failure.hint}" if failure.hint else failure.message
        self._set("failed")

    def _begin(self, child: ChildInfo, fd: int | None, *, adopted: bool, status: Status = "running") -> None:
        self.child = child
        self._ended.clear()
        if fd is not None:
            self.master = Master(fd, self._output.read_from, on_end=lambda: None)
            self.master.start()
        self._on_begin(child, adopted)
        self._set(status)
        if (early := self._early_exits.pop(child.run, None)) is not None:
            self.child_exited(early)

    def child_exited(self, info: ChildInfo) -> None:
        """The keeper's notice that the run ended: read the rest, tell everyone, follow the restart policy."""
        if self.child is None or info.run != self.child.run:
            if self._lock.locked():
                self._early_exits = {info.run: info}  # it ended before its start, or adoption, was told
            return
        if self.master is not None:
            self.master.drain(_LAST_READ_BYTES)
            self.master.close()
            self.master = None
        pid, self.child = self.child.pid, None
        self.exit = ExitStatus(
            at=rfc3339(info.exited_at_ms), code=info.code, known=info.status_known,
            signal=None if info.signal is None else signal.Signals(info.signal).name,
        )  # fmt: skip
        self._output.end()
        self._on_end(self.exit, pid)
        self._ended.set()
        work = self._ender.clean_up(info.run, self._sweep_grace_s)
        task = self._spawn_task(work, f"clean up {info.slot}")
        self._clean_ups[info.run] = task
        task.add_done_callback(lambda _: self._clean_ups.pop(info.run, None))
        if self.status != "stopping":
            self._follow_policy(info.code)

    def _follow_policy(self, code: int | None) -> None:
        if self.last_run or not wants_restart(self._launcher.section.restart, code):
            self._set("stopped")
            return
        delay = self._budget.delay_after_exit()
        if delay is None:
            self.error = "it exited too often; see its output, then start it by hand"
            self._set("failed")
            return
        self._set("backoff")
        self._backoff = asyncio.get_running_loop().call_later(
            delay, lambda: self._spawn_task(self._restart_after_exit(), f"restart {self._name}")
        )

    async def _restart_after_exit(self) -> None:
        async with self._lock:
            if self.status != "backoff":
                return
            try:
                await self._start(self._launcher.section.resume)
            except StartFailed as error:
                log.warning("restart failed", extra={"slot": self._name, "reason": str(error)})
                return
            self.restarts += 1

    async def _stop(self, child: ChildInfo, grace_s: float | None, then: Then = None) -> None:
        # Noted before the first key: the next daemon carries through what this one dies in.
        self._on_stop(child.run, then)
        self._set("stopping")
        recipe = self._launcher.profile.exit
        polite_s = recipe.grace_s if grace_s is None else grace_s
        term_s = recipe.term_grace_s if grace_s is None else grace_s
        self._sweep_grace_s = term_s
        if not (await self._ask_to_exit() and await self._wait_end(polite_s)):
            await self._kill(child, term_s)
        await self._stopped(child.run)

    async def _kill(self, child: ChildInfo, term_s: float) -> None:
        """SIGTERM to the agent's process group, then SIGKILL to everything of the run."""
        if self.child is not child:
            return
        await self._ender.signal_group(child.run, signal.SIGTERM)
        if not await self._wait_end(term_s):
            await self._ender.signal_group(child.run, signal.SIGKILL)
            await self._ender.sweep(child.run, signal.SIGKILL)
            if not await self._wait_end(KILL_GRACE_S):
                log.error("agent survives SIGKILL", extra={"slot": self._name, "pid": child.pid})

    async def _stopped(self, run: str) -> None:
        if (clean_up := self._clean_ups.get(run)) is not None:
            await asyncio.wait({clean_up}, timeout=self._sweep_grace_s + 2 * KILL_GRACE_S)
        self._sweep_grace_s = KILL_GRACE_S
        self._on_stop(None, None)
        self._set("stopped")

    async def _finish_stop(self, child: ChildInfo, then: Then) -> None:
        """Carry through a stop that an earlier daemon had begun: the polite way was tried."""
        async with self._lock:
            try:
                await self._kill(child, self._launcher.profile.exit.term_grace_s)
                await self._stopped(child.run)
                if then is not None:
                    await self._start(then == "resume")
            except (KeeperError, MeshdError) as error:
                log.warning("stop not carried through", extra={"slot": self._name, "reason": str(error)})

    async def _ask_to_exit(self) -> bool:
        """Press the kind's keys, as long as the agent isn't leaving: a key too many hangs gemini in its own exit."""
        recipe = self._launcher.profile.exit
        pastes = self._output.bracketed_paste
        for number, keys in enumerate(recipe.keys):
            if number and (await self._wait_end(recipe.pause_s) or (pastes and not self._output.bracketed_paste)):
                break
            if self.master is None:
                break
            try:
                await self.master.write(keys.encode(), 1.0)
            except (WriteError, OSError):
                return False
        return bool(recipe.keys)

    async def _wait_end(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    # -- state --

    def _set(self, status: Status) -> None:
        if status != self.status:
            self.status = status
            self._on_change()

    def cancel_restart(self) -> None:
        """No start will follow the last exit."""
        self._cancel_backoff()
        if self.status == "backoff":
            self._set("stopped")

    def _cancel_backoff(self) -> None:
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None

    def leave(self) -> None:
        """The daemon ends and the agent goes on: let go of the terminal without touching the process."""
        self._cancel_backoff()
        self._fit()  # a redraw may be under way, and the next daemon goes by the size that it finds
        if self.master is not None:
            self.master.close()
            self.master = None
