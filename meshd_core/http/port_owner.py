"""Which process listens on a port, so that "in use" can say by whom. Best effort: Linux only, one's own processes."""

import os
from pathlib import Path

_LISTENING = "0A"  # source: include/net/tcp_states.h, as /proc/net/tcp prints it


def owner_of_port(port: int) -> str | None:
    """`name (pid N)` of a process that listens on the TCP port, or None if it can't be told."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not wanted:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for name in os.listdir(folder / "fd"):
                if os.readlink(folder / "fd" / name) in wanted:
                    return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue  # it ended meanwhile, or belongs to someone else
    return None


def _inodes(port: int) -> list[str]:
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found
