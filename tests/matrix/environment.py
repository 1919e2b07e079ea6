"""One environment whose distributions of meshd come and go, by pip, as a user's would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = "meshd-core"
_COPIED = ("tests", "docs", "contrib", "conftest.py", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")


def plugin_names() -> list[str]:
    """The distributions of this repository besides core."""
    return sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))


class Environment:
    """A copy of the virtual environment that runs this, with wheels of meshd instead of the editable source.

    Tests run in a copy of the repository that has tests and no source: what they import is what is installed.
    """

    def __init__(self, folder: Path) -> None:
        self._venv, self._wheels, self.tree = folder / "venv", folder / "wheels", folder / "tree"
        # Hard links: pip removes and replaces files, it never writes into one.
        subprocess.run(["cp", "-al", sys.prefix, str(self._venv)], check=True)
        self._pip("uninstall", "--yes", CORE, *plugin_names())
        self._build()
        self._copy_tests()
        self.installed: list[str] = []
        self._install([CORE])

    def become(self, plugins: Sequence[str]) -> None:
        """Have exactly these plugins installed beside core."""
        if gone := [name for name in self.installed if name not in plugins]:
            self._pip("uninstall", "--yes", *gone)
        if new := [name for name in plugins if name not in self.installed]:
            self._install(new)
        self.installed = list(plugins)

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Python of the environment with these arguments, in the copied tree."""
        command = [str(self._venv / "bin" / "python"), *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MESHD_", "PYTHON"))}
        return subprocess.run(command, cwd=self.tree, env={**kept, **more}, capture_output=True, text=True)

    def tests(self, paths: Sequence[str]) -> str | None:
        """Run pytest on `paths`; what it printed if it was not content."""
        done = self.run("-m", "pytest", "-q", "-x", "-n", "4", "--dist", "worksteal", "-p", "no:cacheprovider", *paths)
        return None if done.returncode in (0, 5) else done.stdout[-6000:] + done.stderr[-2000:]

    def _build(self) -> None:
        paths = [str(ROOT), *(str(ROOT / "plugins" / name) for name in plugin_names())]
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
        # The build tool is one of the tools of this environment: fetching it for each wheel took most of the time.
        options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(self._wheels)]
        subprocess.run([*command, *options, *paths], check=True)

    def _copy_tests(self) -> None:
        self.tree.mkdir()
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.tree / name, ignore=ignored)
            else:
                shutil.copy2(source, self.tree / name)
        # Whatever a plugin has besides its source: its tests read its examples.
        sourceless = shutil.ignore_patterns("__pycache__", "src", "build", "*.egg-info")
        for name in plugin_names():
            shutil.copytree(ROOT / "plugins" / name, self.tree / "plugins" / name, ignore=sourceless)

    def _install(self, names: Sequence[str]) -> None:
        wheels = [str(next(self._wheels.glob(f"{name.replace('-', '_')}-*.whl"))) for name in names]
        self._pip("install", "--no-deps", "--no-index", *wheels)

    def _pip(self, *arguments: str) -> None:
        command = [
            str(self._venv / "bin" / "python"),
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            *arguments,
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def asked(environment: Environment) -> dict[str, dict[str, object]]:
    """`GET /plugins` of a real daemon of the environment, by plugin; it also types a prompt and stops again."""
    done = environment.run("-m", "tests.matrix.smoke")
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found
