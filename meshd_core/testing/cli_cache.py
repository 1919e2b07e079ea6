"""Agent CLIs from npm at pinned versions, kept outside the clone, so that tests against real agents can be repeated.

`$MESHD_AGENTS_CACHE`, else `$XDG_CACHE_HOME/meshd/agents`, else `~/.cache/meshd/agents`; a folder for each version. A
folder appears under its final name only when its installation is complete.
"""

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

INSTALL_TIMEOUT_S = 600.0


class PinnedCli(Struct, frozen=True, forbid_unknown_fields=True):
    """One agent CLI: its npm package, the version that the tests are made for, and its program."""

    package: str
    version: str
    binary: str
    also: tuple[str, ...] = ()
    """Further versions that the corpus has recordings of."""
    unseen: str | None = None
    """A version that nothing was measured with."""

    def versions(self) -> "tuple[PinnedCli, ...]":
        """One for each recorded version, the pinned one first."""
        return tuple(self.at(version) for version in (self.version, *self.also))

    def at(self, version: str) -> "PinnedCli":
        """The same CLI at `version`."""
        return replace(self, version=version, also=(), unseen=None)


def read_pins(path: Path) -> dict[str, PinnedCli]:
    """The pinned CLIs in a TOML file, by name. Raises msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads(path.read_text()), dict[str, PinnedCli])


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    if configured := environ.get("MESHD_AGENTS_CACHE"):
        return Path(configured)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshd" / "agents"


def installed_binary(name: str, pin: PinnedCli, cache: Path) -> Path:
    """The CLI's program, installed first if it isn't in `cache`. Raises RuntimeError with npm's last words."""
    folder = cache / f"{name}-{pin.version}"
    if not folder.is_dir():
        _install(pin, folder)
    return folder / "node_modules" / ".bin" / pin.binary


def _install(pin: PinnedCli, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not on PATH: tests against real agents need node and npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(partial), f"{pin.package}@{pin.version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"npm could not install {pin.package}@{pin.version}: {done.stderr[-2000:]}")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
