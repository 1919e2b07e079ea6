"""Which files an agent holds open. Only where there is a /proc (Linux); elsewhere nothing is known."""

import os
from collections.abc import Iterator
from pathlib import Path

_DEEPEST = 3


def open_files(pid: int) -> Iterator[list[str]]:
    """Paths of the open files of `pid`, then of its descendants, nearest first; a list for each process.

    An agent's program is often a child of the one that was started: a wrapper of npm's, a shell.
    """
    level = [pid]
    for _ in range(_DEEPEST):
        for one in level:
            yield _links(one)
        level = [child for one in level for child in _children(one)]


def _links(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    paths = []
    try:
        names = os.listdir(folder)
    except OSError:
        return []  # it is gone, is another user's, or there is no /proc here
    for name in names:
        try:
            paths.append(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue  # closed meanwhile
    return paths


def _children(pid: int) -> list[int]:
    """Source: proc_pid_task_tid_children(5)."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, task.read_bytes().split())
        except OSError:
            continue
    return children
