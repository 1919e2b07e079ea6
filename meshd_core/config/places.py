"""Where meshd keeps things: configuration file, state, runtime and cache folders.

Order: an option, then the environment (`MESHD_CONFIG`, `MESHD_STATE_DIR`, `MESHD_RUNTIME_DIR`), then the platform's
own places. Whoever owns the runtime folder owns the daemon's socket, so a folder of somebody else is refused.
"""

import os
import re
import socket
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from msgspec import Struct

from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.types import NAME_PATTERN

APP = "meshd"


class PlaceError(StartupError):
    """A folder that meshd needs can't be made or must not be trusted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.DISK_FULL)


class Places(Struct, frozen=True):
    """Absolute paths; nothing exists until `prepare`."""

    config_file: Path
    config_given: bool
    """Whether somebody named the file: then it must exist."""
    state_dir: Path
    runtime_dir: Path
    cache_dir: Path

    @classmethod
    def find(
        cls,
        config: Path | None = None,
        state_dir: Path | None = None,
        runtime_dir: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> "Places":
        """The places for these options and environment. Makes and reads nothing."""
        env = os.environ if environ is None else environ
        default = platformdirs.PlatformDirs(APP, appauthor=False)
        file = config or _named(env, "MESHD_CONFIG")
        return cls(
            config_file=_absolute(file or default.user_config_path / "meshd.toml"),
            config_given=file is not None,
            state_dir=_absolute(state_dir or _named(env, "MESHD_STATE_DIR") or default.user_state_path),
            runtime_dir=_absolute(runtime_dir or _named(env, "MESHD_RUNTIME_DIR") or _default_runtime_dir(default)),
            cache_dir=_absolute(default.user_cache_path),
        )

    def prepare(self) -> None:
        """Make the state and runtime folders, 0700 whatever the umask. Raises PlaceError."""
        private_dir(self.state_dir)
        private_dir(self.runtime_dir)
        _check_parent(self.runtime_dir.resolve())


def _default_runtime_dir(default: platformdirs.PlatformDirs) -> Path:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it falls back to a folder with the user's id in its name, and warns; `prepare` checks
        # that the folder is ours.
        warnings.simplefilter("ignore")
        return default.user_runtime_path


def private_dir(path: Path) -> None:
    """Make `path` (0700, with the parents that are missing) or check that the one there is ours alone.

    A folder of ours that others can write to is closed to them. Raises PlaceError: owned by somebody else, shared
    (sticky), not a folder, or not to be made.
    """
    try:
        for missing in reversed([parent for parent in (path, *path.parents) if not parent.exists()]):
            _make(missing)
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISDIR(status.st_mode):
            raise PlaceError(f"{path} is not a folder")
        if status.st_uid != os.geteuid():
            raise PlaceError(f"{path} belongs to user id {status.st_uid}, not to you: remove it or name another folder")
        if mode & stat.S_ISVTX and mode & 0o022:
            raise PlaceError(f"{path} is shared by all users: name a folder inside it")
        if mode & 0o022:
            path.chmod(mode & ~0o077)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PlaceError(f"{path} can't be written to")
    except OSError as error:
        raise PlaceError(f"the folder {path} can't be used: {error.strerror}") from None
    except ValueError:
        raise PlaceError(f"{str(path)!r} is not a path") from None


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return  # another daemon was quicker, or a dangling link: `stat` tells
    path.chmod(0o700)  # mkdir's mode is subject to the umask


def _check_parent(path: Path) -> None:
    """Whoever can rename the runtime folder can put their own in its place; a name in /tmp can be guessed."""
    status = path.parent.stat()
    is_open = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    if is_open or status.st_uid not in (0, os.geteuid()):
        raise PlaceError(f"{path} is not safe: others can replace it; name another folder with --runtime-dir")


def _named(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(name)
    return Path(value).expanduser() if value else None


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def default_node_name(hostname: str | None = None) -> str:
    """The host's short name as a node's name: lower-cased, other characters made `-`; `node` if nothing is left."""
    short = (socket.gethostname() if hostname is None else hostname).split(".")[0].lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", short).strip("._-")[:63].rstrip("._-")
    return name if re.fullmatch(NAME_PATTERN, name) else "node"
