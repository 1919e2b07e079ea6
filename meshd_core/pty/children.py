"""The keeper's table of runs: spawn, watch, drain, signal, forget. Single-threaded; nothing here waits."""

import array
import errno
import fcntl
import os
import selectors
import signal
from collections.abc import Callable, Iterator

from msgspec import structs

from meshd_core.clock import now_ms, ulid
from meshd_core.pty import processes
from meshd_core.pty.backlog import BacklogBuffer
from meshd_core.pty.errors import UnknownRun
from meshd_core.pty.launch import launch
from meshd_core.pty.messages import ChildInfo, SpawnSpec

LAST_READS = 64
"""How often an ended agent's terminal is read in one go; what is left (a grandchild prints on) is drained as usual."""


class Child:
    """One run. `held`: the daemon reads the master, so the keeper must not: two readers steal each other's bytes."""

    __slots__ = ("backlog", "held", "info", "master", "pidfd", "silent", "watched")

    def __init__(self, info: ChildInfo, master: int, *, held: bool) -> None:
        self.info = info
        self.master = master
        """-1 once the run ended and its terminal was drained."""
        self.held = held
        self.backlog = BacklogBuffer()
        self.pidfd = -1
        """Watches a process that another keeper spawned."""
        self.watched = False
        """Whether the selector has the master."""
        self.silent = False
        """The terminal has no open slave now; not an exit: the agent may open it again."""

    @property
    def alive(self) -> bool:
        return self.info.exited_at_ms is None

    @property
    def leader(self) -> int | None:
        """The pid while it can't be another process's. One that we did not spawn may be reaped by others at any time;
        its pidfd tells, up to the moment between asking and using.
        """
        return self.info.pid if self.alive else None


class ChildTable:
    """All runs that were not forgotten. `on_exit` is called once for each, as soon as it is known to have ended."""

    def __init__(self, selector: selectors.BaseSelector, on_exit: Callable[[ChildInfo], None]) -> None:
        self._selector = selector
        self._on_exit = on_exit
        self._runs: dict[str, Child] = {}
        self._pids: dict[int, Child] = {}
        """Our own children that are not reaped."""

    def __iter__(self) -> Iterator[Child]:
        return iter(self._runs.values())

    def get(self, run: str) -> Child:
        """Raises UnknownRun."""
        child = self._runs.get(run)
        if child is None:
            raise UnknownRun(run)
        return child

    def living(self) -> int:
        return sum(child.alive for child in self)

    def spawn(self, spec: SpawnSpec) -> Child:
        """Start an agent; the master counts as held by the daemon at once. Raises SpawnError."""
        run = ulid()
        launched = launch(spec, run)
        info = ChildInfo(run=run, slot=spec.slot, pid=launched.pid, started_at_ms=now_ms(), meta=spec.meta)
        child = Child(info, launched.master, held=True)
        self._runs[run] = self._pids[info.pid] = child
        return child

    def take(self, info: ChildInfo, master: int) -> Child:
        """Watch an agent that a keeper that died spawned; `master` becomes ours. Its exit status stays unknown."""
        if info.run in self._runs:
            os.close(master)
            return self._runs[info.run]
        os.set_blocking(master, False)
        info = structs.replace(info, status_known=info.status_known and info.exited_at_ms is not None)
        child = self._runs[info.run] = Child(info, master, held=True)
        if child.alive:
            self._watch_exit(child)
        return child

    def _watch_exit(self, child: Child) -> None:
        if not hasattr(os, "pidfd_open"):
            return
        pidfd = processes.open_exit_watch(child.info.pid, child.info.run, _session_of(child.master))
        if pidfd is None:
            self._ended(child, None)
            return
        child.pidfd = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._on_pidfd(child))

    # -- exits -----------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Collect every ended process that is ours, orphans that were given to us included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._pids.pop(pid, None)
            if child is not None:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, status: int | None) -> None:
        """`status` as in `os.waitstatus_to_exitcode`: negative is a signal; None is lost."""
        if child.pidfd >= 0:
            self._selector.unregister(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = -1
        child.info = structs.replace(
            child.info,
            exited_at_ms=now_ms(),
            code=status if status is not None and status >= 0 else None,
            signal=-status if status is not None and status < 0 else None,
            status_known=status is not None,
        )
        if not child.held:
            for _ in range(LAST_READS):
                if not self._drain(child):
                    break
        self._on_exit(child.info)

    def _on_pidfd(self, child: Child) -> None:
        if child.pidfd >= 0:
            self._ended(child, None)

    # -- draining --------------------------------------------------------------------------------------------------

    def release_all(self) -> None:
        """No daemon reads any more: drain every master from now on."""
        for child in self:
            if child.held:
                child.held = False
                self._drain(child)
                self._watch(child)

    def hold(self, child: Child) -> None:
        """Stop draining: a daemon is going to read."""
        child.held = True
        child.silent = False
        self._unwatch(child)

    def retry_silent(self) -> bool:
        """Look again at terminals that nobody had open; whether there are such. For a timer."""
        waiting = [child for child in self if child.silent and not child.held and child.master >= 0]
        for child in waiting:
            child.silent = False
            self._drain(child)
            self._watch(child)
        return any(child.silent for child in waiting)

    def poll_taken(self) -> bool:
        """Where there are no pidfds: ask for the agents that another keeper spawned; whether there are such."""
        if hasattr(os, "pidfd_open"):
            return False
        taken = [child for child in self if child.alive and child.info.pid not in self._pids]
        for child in taken:
            try:
                os.kill(child.info.pid, 0)
            except ProcessLookupError:
                self._ended(child, None)
        return bool(taken)

    def _watch(self, child: Child) -> None:
        if child.master >= 0 and not child.watched and not child.silent and not child.held:
            self._selector.register(child.master, selectors.EVENT_READ, lambda: self._on_readable(child))
            child.watched = True

    def _unwatch(self, child: Child) -> None:
        if child.watched:
            self._selector.unregister(child.master)
            child.watched = False

    def _on_readable(self, child: Child) -> None:
        # An event of the same turn may have handed the master to a daemon.
        if child.watched:
            self._drain(child)

    def _drain(self, child: Child) -> bool:
        """One read into the backlog; whether there may be more now."""
        if child.master < 0:
            return False
        ended = True
        try:
            if child.backlog.read_from(child.master):
                return True
        except BlockingIOError:
            return False
        except OSError as error:
            # EIO: no slave is open. Anything else (no memory) may pass: try again with the chores.
            ended = error.errno == errno.EIO
        self._unwatch(child)
        child.silent = child.alive or not ended
        if not child.silent:
            self._close_master(child)
        return False

    def _close_master(self, child: Child) -> None:
        self._unwatch(child)
        if child.master >= 0:
            os.close(child.master)
            child.master = -1

    # -- signals ---------------------------------------------------------------------------------------------------

    def kill(self, run: str, sig: int) -> bool:
        """Signal the agent's process group; False if the agent was reaped or the group is gone."""
        child = self.get(run)
        self.reap()
        if child.leader is None:
            return False
        try:
            os.killpg(child.leader, sig)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def sweep(self, run: str, sig: int) -> int:
        """Signal every process of the run; how many there were."""
        return processes.signal_run(run, self._leader_of(run), sig)

    def processes(self, run: str) -> list[int]:
        return processes.of_run(run, self._leader_of(run))

    def _leader_of(self, run: str) -> int | None:
        # Also for a run that was forgotten: its processes may still be about.
        child = self._runs.get(run)
        return child.leader if child else None

    def forget(self, run: str) -> None:
        """Close the master and drop the run's status; an agent that lives is hung up. Raises UnknownRun."""
        child = self.get(run)
        self._close_master(child)
        if child.pidfd >= 0:
            self._selector.unregister(child.pidfd)
            os.close(child.pidfd)
        del self._runs[run]
        self._pids.pop(child.info.pid, None)

    def end_all(self) -> None:
        """SIGKILL to everything of every run: the forced end of the keeper."""
        for child in self:
            processes.signal_run(child.info.run, child.leader, signal.SIGKILL)


_TIOCGSID = 0x5429  # asm-generic/ioctls.h; where Linux has another number the call fails, and the marker decides


def _session_of(master: int) -> int | None:
    """The session that has the master's terminal as its controlling one (TIOCGSID, tty_ioctl(4)), if any."""
    answer = array.array("i", [0])
    try:
        fcntl.ioctl(master, _TIOCGSID, answer)
    except OSError:
        return None
    return answer[0]
