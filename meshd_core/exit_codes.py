"""What `meshd` exits with, and the error that carries such a code out of the daemon's start."""


class ExitCode:
    """What `meshd serve` exits with; each cause its own, after sysexits where it has one.

    Source: sysexits.h (EX_*) and docs/protocol.md section 9.
    """

    OK = 0
    """It ended as asked."""
    FAILURE = 1
    """The command failed."""
    USAGE = 2
    """Wrong usage."""
    NOT_REACHED = 69  # EX_UNAVAILABLE
    """No daemon answers (client commands)."""
    PORT_IN_USE = 71  # EX_OSERR
    """An address or the Unix socket can't be bound."""
    MISSING_BINARY = 72  # EX_OSFILE
    """The program of a slot that is to be started isn't there."""
    DISK_FULL = 73  # EX_CANTCREAT
    """The state or runtime folder can't be written, or must not be trusted."""
    KEEPER = 74  # EX_IOERR
    """The keeper can't be started, or speaks another protocol."""
    ALREADY_RUNNING = 75  # EX_TEMPFAIL
    """Another daemon holds this state."""
    PLUGIN = 76  # EX_PROTOCOL
    """A required plugin or a configured auth provider can't load."""
    CONFIG = 78  # EX_CONFIG
    """The configuration is not right."""


class StartupError(Exception):
    """The daemon can't start: one clear message and the exit code that names the cause."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
