"""What a site has against a launch, and what it adds to one."""

import os
import re
import stat
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec.structs import replace

from meshd_core.api import Launch, LaunchSpec
from meshd_policy.config import LaunchRules

MAX_ENV_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_launch(rules: LaunchRules, spec: LaunchSpec, launch: Launch) -> None:
    """Raises PermissionError, which names what the site's rules have against it."""
    folder = Path(spec.cwd).resolve()
    roots = [Path(root).expanduser().resolve() for root in rules.cwd_roots]
    if roots and not any(folder.is_relative_to(root) for root in roots):
        raise PermissionError(f"the folder {folder} is outside of the folders that 'cwd_roots' allows")
    program = launch.argv[0]
    if rules.commands and not any(fnmatchcase(program, glob) for glob in rules.commands):
        raise PermissionError(f"the program {program!r} is none that 'commands' allows")


def changed(rules: LaunchRules, spec: LaunchSpec, launch: Launch) -> Launch:
    """`launch` with the slot's environment and priority. Raises ValueError, PermissionError, OSError."""
    if rules.env_dir is not None:
        launch = replace(launch, env={**launch.env, **read_env(Path(rules.env_dir).expanduser() / f"{spec.slot}.env")})
    if rules.nice:
        launch = replace(launch, argv=("nice", "-n", str(rules.nice), *launch.argv))
    return launch


def read_env(path: Path) -> dict[str, str]:
    """The variables in `path`; none if there is no such file. Errors name lines, never their text: values are secrets.

    The file must belong to the daemon's user and be readable by nobody else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{path} must be a file of the daemon's user with mode 0600")
        data = os.read(fd, MAX_ENV_BYTES + 1)
    finally:
        os.close(fd)
    if len(data) > MAX_ENV_BYTES:
        raise ValueError(f"{path} is larger than {MAX_ENV_BYTES} bytes")
    return dict(_variables(path, data))


def _variables(path: Path, data: bytes) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            name, equals, value = line.decode().removesuffix("\r").partition("=")
        except UnicodeDecodeError:
            raise ValueError(f"{path}, line {number}: not UTF-8") from None
        if not equals or _NAME.fullmatch(name) is None or "\0" in value:
            raise ValueError(f"{path}, line {number}: write it as NAME=value")
        if name.startswith("MESHD_"):
            raise ValueError(f"{path}, line {number}: names that begin with MESHD_ are meshd's own")
        found.append((name, value))
    return found
