"""Starting one agent with pexpect, inside the keeper.

pexpect is used to spawn and for nothing else: its objects hang up the agent when collected, and its send, close and
isalive block (ptyprocess/ptyprocess.py, `__del__`, `close`). What it leaves open is closed here: it checks neither
the folder nor the arguments before the fork, and an exception it does not expect in the child would leave a second
keeper running.
"""

import contextlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable

import pexpect
import pexpect.pty_spawn
from msgspec import Struct

from meshd_core.pty.errors import SpawnError
from meshd_core.pty.messages import SpawnSpec
from meshd_core.pty.processes import MARK_LIMIT, RUN_VARIABLE, SLOT_VARIABLE, mark_of

_DEFAULT_PATH = os.defpath
_FD_FOLDER = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


class Launched(Struct, frozen=True):
    pid: int
    master: int
    """Non-blocking, not inherited, and ours alone."""


class _Process(pexpect.pty_spawn.ptyprocess.PtyProcess):  # type: ignore[misc]
    """A pty process that nothing happens to when Python forgets it."""

    def __del__(self) -> None:
        return


class _Spawn(pexpect.spawn):  # type: ignore[misc]
    """pexpect's spawn, with the arguments exactly as given (it would split a lone command at its blanks)."""

    def __init__(self, path: str, arguments: list[str], **options: object) -> None:
        self._exact = [path, *arguments]
        super().__init__(path, arguments or [""], **options)

    def _spawnpty(self, args: list[str], **options: object) -> _Process:
        process: _Process = _Process.spawn(self._exact, **options)
        return process


def launch(spec: SpawnSpec, run: str) -> Launched:
    """Start the agent on a new terminal of its own session. Raises SpawnError; then nothing is left but, at most, a
    zombie for the keeper to reap.
    """
    _check(spec)
    path = find_binary(spec.argv[0], spec.env.get("PATH", _DEFAULT_PATH), spec.cwd)
    environment = {**spec.env, RUN_VARIABLE: run, SLOT_VARIABLE: spec.slot}
    keeper, before = os.getpid(), _open_fds()
    try:
        spawned = _Spawn(
            path,
            list(spec.argv[1:]),
            env=environment,
            dimensions=(spec.rows, spec.cols),
            preexec_fn=_in_child(spec.cwd, mark_of(run)),
            timeout=None,
        )
    except OSError as error:
        raise _failure(error, path, spec, before) from error
    except pexpect.ExceptionPexpect as error:
        raise SpawnError("exec", str(error)) from error
    finally:
        if os.getpid() != keeper:
            # An exception that ptyprocess did not expect, raised in the fork: never go on as a second keeper.
            os._exit(70)
    return _detach(spawned)


def find_binary(command: str, search: str, cwd: str) -> str:
    """The absolute path of `command`, as execvp in `cwd` would find it with PATH `search`. Raises SpawnError."""
    if "/" in command:
        path = os.path.join(cwd, command)
        if not os.path.exists(path):
            raise SpawnError("not_found", f"there is no {path}")
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            raise SpawnError("not_executable", f"{path} is not an executable file")
        return path
    found = None
    for folder in search.split(os.pathsep):
        path = os.path.join(cwd, folder, command)
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            found = found or path
    if found:
        raise SpawnError("not_executable", f"{found} is not an executable file")
    raise SpawnError("not_found", f"{command} was not found; the agent's PATH is {search or 'empty'}")


def _check(spec: SpawnSpec) -> None:
    if not spec.argv or not spec.argv[0]:
        raise SpawnError("arguments", "there is no command to start")
    texts = (*spec.argv, *spec.env.keys(), *spec.env.values(), spec.cwd, spec.slot)
    if any("\0" in text for text in texts):
        raise SpawnError("arguments", "a NUL character in the command, the environment or the folder")
    try:
        for text in texts:
            os.fsencode(text)
    except UnicodeEncodeError:
        raise SpawnError("arguments", "text that this system can't encode") from None
    if any(not name or "=" in name for name in spec.env):
        raise SpawnError("arguments", "a name in the environment is empty or has a '='")
    if not (0 < spec.rows <= 0xFFFF and 0 < spec.cols <= 0xFFFF):
        raise SpawnError("arguments", f"a terminal of {spec.rows} rows and {spec.cols} columns can't be")
    if not os.path.isabs(spec.cwd):
        raise SpawnError("cwd", f"the folder {spec.cwd!r} is not an absolute path")
    if not os.path.isdir(spec.cwd):
        raise SpawnError("cwd", f"the folder {spec.cwd} does not exist")
    if not os.access(spec.cwd, os.X_OK):
        raise SpawnError("cwd", f"the folder {spec.cwd} may not be entered")


def _in_child(cwd: str, mark: int) -> Callable[[], None]:
    """What runs between fork and exec; ptyprocess reports its OSError to us, unlike one from its own `cwd`."""

    def prepare() -> None:
        os.chdir(cwd)
        if sys.platform.startswith("linux"):
            with contextlib.suppress(ValueError, OSError):  # a hard limit below it: the environment's mark is left
                resource.setrlimit(MARK_LIMIT, (mark, resource.getrlimit(MARK_LIMIT)[1]))
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if signal.getsignal(number) not in (signal.SIG_DFL, None):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare


def _failure(error: OSError, path: str, spec: SpawnSpec, before: set[int]) -> SpawnError:
    if len(error.args) < 2:
        # Rebuilt by ptyprocess from what the child reported: only a text, and errno if exec failed. The error's
        # frames, a cycle, hold the terminal's master until a collection that may be hours away.
        traceback.clear_frames(error.__traceback__)
        reason = str(error)
        if os.path.isfile(path) and "No such file" in reason:
            reason = "the program that its first line names was not found"
        return SpawnError("exec", f"{path} could not be started: {reason}")
    # Fork or terminal creation failed here; ptyprocess forgets its pipe then.
    for fd in _open_fds() - before:
        os.close(fd)
    return SpawnError("fork", f"no process or terminal for {spec.argv[0]}: {error.strerror}")


def _detach(spawned: _Spawn) -> Launched:
    process = spawned.ptyproc
    process.closed = spawned.closed = True
    try:
        master = os.dup(process.fd)
    except OSError as error:
        os.killpg(process.pid, signal.SIGKILL)
        raise SpawnError("fork", f"no descriptor for the terminal: {error.strerror}") from error
    finally:
        process.fileobj.close()
    os.set_blocking(master, False)
    return Launched(pid=process.pid, master=master)


def _open_fds() -> set[int]:
    fds = {int(name) for name in os.listdir(_FD_FOLDER)}
    return {fd for fd in fds if _is_open(fd)}


def _is_open(fd: int) -> bool:
    # The listing has the descriptor that the listing itself used.
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
