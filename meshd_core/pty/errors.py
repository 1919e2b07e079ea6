"""What can go wrong between a daemon, its keeper and an agent's terminal."""

from typing import Literal

SpawnReason = Literal["not_found", "not_executable", "cwd", "arguments", "exec", "fork"]


class KeeperError(Exception):
    """The keeper can't be reached, refuses, or did not do what was asked; the message says what to do."""


class KeeperLost(KeeperError):
    """The connection to the keeper ended: it died, or the client was closed. What was asked may have been done."""


class KeeperBusy(KeeperError):
    """Another daemon, which lives, is attached to the keeper."""


class UnknownRun(KeeperError):
    """The keeper has no such run: it was forgotten, or belongs to a keeper that died."""

    def __init__(self, run: str) -> None:
        super().__init__(f"the keeper knows no run {run}")
        self.run = run


class SpawnError(KeeperError):
    """The agent was not started and nothing of it is left."""

    def __init__(self, reason: SpawnReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FrameError(Exception):
    """The other side sent what no version of the protocol allows: drop the connection."""


class WriteError(Exception):
    """A write to a terminal did not complete; `written` of `size` bytes are in it (0: nothing happened)."""

    def __init__(self, message: str, written: int, size: int) -> None:
        super().__init__(f"{message} ({written} of {size} bytes were written)")
        self.written, self.size = written, size


class WriteTimeout(WriteError):
    """The terminal took no more in time: the agent is not reading."""


class WriteClosed(WriteError):
    """The terminal has no reader any more, or was closed by us."""


class WriteOverflow(WriteError):
    """Too many bytes wait for this terminal already; nothing was written."""
