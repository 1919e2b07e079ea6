"""The id of this life of the daemon: greater than that of any earlier one of the same state, whatever the clock says.

Receivers of events order what they have by it; after a wall clock that was set back, the newest state would count as
old for as long as the clock had been ahead.
"""

import contextlib
import re
from pathlib import Path

from meshd_core.clock import next_ulid, ulid

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def new_boot_id(state_dir: Path) -> str:
    """A ULID greater than the one that was made here before. Raises OSError (disk full)."""
    file = state_dir / "boot"
    last = ""
    with contextlib.suppress(FileNotFoundError):
        last = file.read_text(encoding="ascii", errors="replace").strip()
    made = ulid()
    if _ULID.fullmatch(last) and made <= last:
        made = next_ulid(last)
    temporary = file.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(f"{made}\n")
    temporary.replace(file)
    return made
