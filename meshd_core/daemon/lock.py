"""One daemon for one state directory.

A lock of the kernel, not a pid file: it goes with its holder, however that ends.
"""

import fcntl
import os
from pathlib import Path

from meshd_core.exit_codes import ExitCode, StartupError


class StateLock:
    """Held while the daemon lives."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock. Raises StartupError naming the holder if another daemon has it."""
        self._fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise StartupError(
                f"another meshd (pid {holder}) holds the state in {state_dir}; end it with 'meshd down',"
                " or give this one its own with --state-dir and --runtime-dir",
                ExitCode.ALREADY_RUNNING,
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)
