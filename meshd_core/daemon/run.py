"""`meshd serve`: from options to an exit code; every cause of a failed start has its own."""

import asyncio
import errno
import gc
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from meshd_core.config.places import Places
from meshd_core.config.problems import ConfigErrors
from meshd_core.daemon.daemon import Daemon
from meshd_core.daemon.lock import StateLock
from meshd_core.daemon.logs import set_up_logging
from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.plugins.failures import PluginRequiredError
from meshd_core.terminal.journal import JournalInUse


class ReadyInfo(Struct, frozen=True):
    """Told once adoption is done and the listeners are open."""

    urls: tuple[str, ...]
    token_file: str
    socket: str


class ServeOptions(Struct, frozen=True):
    """What the command line decides; None means the platform's place."""

    config: Path | None = None
    state_dir: Path | None = None
    runtime_dir: Path | None = None
    on_ready: Callable[[ReadyInfo], None] | None = None
    stop_agents_on_signal: bool = False
    """Whether Ctrl-C and SIGTERM end the agents too."""


def serve(options: ServeOptions) -> int:
    """Run the daemon until it is told to end; the exit code. Failures are one clear message on stderr."""
    set_up_logging()
    try:
        places = Places.find(options.config, options.state_dir, options.runtime_dir)
        places.prepare()
        lock = StateLock(places.state_dir)
    except StartupError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        return _fail(_disk_text(error), ExitCode.DISK_FULL)
    try:
        return _run(places, options)
    finally:
        lock.release()


def _run(places: Places, options: ServeOptions) -> int:
    def ready(urls: tuple[str, ...], token_file: Path, socket: Path) -> None:
        # What was made so far lives as long as the daemon: later collections need not look at it.
        gc.freeze()
        if options.on_ready is not None:
            options.on_ready(ReadyInfo(urls, str(token_file), str(socket)))

    try:
        daemon = Daemon.prepare(places, stop_agents_on_signal=options.stop_agents_on_signal)
        asyncio.run(daemon.run(ready))
    except Exception as error:
        # Everything is judged here, at the end of the process; what `_explain` doesn't know is raised again.
        known = _explain(_single(error), places)
        if known is None:
            raise
        return _fail(*known)
    return ExitCode.OK


def _single(error: Exception) -> Exception:
    """What failed: a task group wraps even the one exception that went through it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _explain(error: Exception, places: Places) -> tuple[str, int] | None:
    """Message and exit code of a failure that a person can mend; None: a fault of ours."""
    match error:
        case ConfigErrors():
            return f"the configuration is not right:\n{error}", ExitCode.CONFIG
        case PluginRequiredError():
            return str(error), ExitCode.PLUGIN
        case StartupError():
            return str(error), error.exit_code
        case JournalInUse():
            return str(error), ExitCode.ALREADY_RUNNING
        case sqlite3.OperationalError():
            return f"the state in {places.state_dir} can't be used: {error}; is there space?", ExitCode.DISK_FULL
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EROFS | errno.EACCES | errno.EPERM | errno.EIO):
            return _disk_text(error), ExitCode.DISK_FULL
    return None


def _disk_text(error: OSError) -> str:
    place = error.filename or "the state directory"
    return f"{place} can't be written: {error.strerror}; free space, or name another folder with --state-dir"


def _fail(message: str, code: int) -> int:
    print(f"meshd: {message}", file=sys.stderr)
    return code
