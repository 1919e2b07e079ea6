"""Which slot a process belongs to: the Unix socket makes its caller admin, but never an agent."""

from collections.abc import Mapping
from pathlib import Path

from meshd_core.errors import Overloaded
from meshd_core.pty.processes import limit_mark, mark_of

_DEEPEST = 64


def slot_of_process(pid: int, runs: Mapping[str, str], pids: Mapping[int, str]) -> str | None:
    """The slot that `pid` descends from, or None.

    `runs` maps the runs, whose marks the keeper has put on their processes, to slots, `pids` the agents' process ids.
    Hygiene, not isolation: a process with the daemon's user id can undo a mark. Where there is no /proc this always
    says None.
    """
    marks = {mark_of(run): slot for run, slot in runs.items()}
    for _ in range(_DEEPEST):
        if pid <= 1:
            return None
        if pid in pids:
            return pids[pid]
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            # The command's name is in parentheses and may hold anything: fields count after the last one.
            parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError):
            return None  # it is gone, is another user's, or there is no /proc here
        except OSError as error:
            # Without descriptors nothing is known of the caller: an agent must not pass for nobody's process.
            raise Overloaded(f"who calls can't be found out now: {error.strerror}") from error
        if (mark := limit_mark(pid)) in marks:
            return marks[mark]
        for variable in environment.split(b"\0"):
            if variable.startswith(b"MESHD_RUN="):
                slot = runs.get(variable[10:].decode(errors="replace"))
                if slot is not None:
                    return slot
        pid = parent
    return None
