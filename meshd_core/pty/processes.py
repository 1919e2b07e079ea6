"""Which processes belong to a run, wherever they are: own session, own group, orphaned.

Orphans of several slots under one subreaper can't be told apart by parent, so each run's processes are marked, twice:
by the run's id in their environment, which /proc shows (proc(5)), and by a number as their soft limit of file locks.
That limit has had no effect since Linux 2.4.25 (setrlimit(2)), and goes through fork, exec, setsid and a cleared
environment. Descendants of marked processes count, too, and the session of a leader that is not reaped yet.
"""

import contextlib
import os
import sys

from msgspec import Struct

RUN_VARIABLE = "MESHD_RUN"
SLOT_VARIABLE = "MESHD_SLOT"


MARK_LIMIT = 10
"""RLIMIT_LOCKS, asm-generic/resource.h."""


class _Entry(Struct, frozen=True):
    pid: int
    parent: int
    session: int
    marked: bool


def mark_of(run: str) -> int:
    """The number that marks the processes of `run`: 2**60 and above, which nobody sets as a limit of locks.

    FNV-1a, 64 bits: it only has to tell runs apart, and the keeper would pay for OpenSSL with more than a MiB.
    """
    value = 0xCBF29CE484222325
    for byte in run.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return 1 << 60 | value & (1 << 56) - 1


def limit_mark(pid: int) -> int | None:
    """The mark that the process has as a limit, of whatever run; None: it has none, is gone, or can't be read."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            limits = file.read()
    except OSError:
        return None
    _, found, rest = limits.partition(b"Max file locks")
    soft = rest.split(None, 1)[0] if found else b""
    return int(soft) if soft.isdigit() and int(soft) >= 1 << 60 else None


def has_marker(pid: int, run: str) -> bool:
    """Whether the process was started with one of the run's marks; False if that can't be read or it is gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return False
    return f"\0{RUN_VARIABLE}={run}\0".encode() in b"\0" + environment or limit_mark(pid) == mark_of(run)


def _entry(pid: int, run: str) -> _Entry | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command, in parentheses, may hold anything: the fields begin behind its last parenthesis.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 4 or fields[0] in (b"Z", b"X"):
        return None
    return _Entry(pid=pid, parent=int(fields[1]), session=int(fields[3]), marked=has_marker(pid, run))


def of_run(run: str, leader: int | None) -> list[int]:
    """Living processes of `run`, sorted. `leader`: the agent's pid while it is not reaped (so it can't be reused).

    Where there is no /proc, only the leader is known.
    """
    if not sys.platform.startswith("linux"):
        return [] if leader is None else [leader]
    entries = [entry for name in os.listdir("/proc") if name.isdigit() and (entry := _entry(int(name), run))]
    found = {entry.pid for entry in entries if entry.marked or (leader is not None and entry.session == leader)}
    grew = bool(found)
    while grew:
        more = {entry.pid for entry in entries if entry.parent in found and entry.pid not in found}
        found |= more
        grew = bool(more)
    found.discard(os.getpid())
    return sorted(found)


def signal_run(run: str, leader: int | None, sig: int) -> int:
    """Send `sig` (0: none) to every process of the run; how many there were. Repeat until 0: they may be forking."""
    found = of_run(run, leader)
    for pid in found:
        if sig:
            # A process that ended meanwhile, or became another user's (setuid), is not ours to signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, sig)
    return len(found)


def open_exit_watch(pid: int, run: str, session: int | None) -> int | None:
    """A pidfd of an agent that another keeper spawned, None if it has ended; raises OSError(ENOSYS) without pidfds.

    `session` is the session of the run's terminal, if it has one: a pid that is neither its leader nor marked is a
    stranger that got the number.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if session == pid or has_marker(pid, run):
        return descriptor
    os.close(descriptor)
    return None
