"""`make test-matrix`: every plugin alone beside core, and its absence from everything else, with real installations.

Whatever a plugin brings is there with it and gone without it, and nothing else changes. The whole suite with all
plugins is `make test`'s; here run core's own tests without any plugin, and each plugin's tests with nothing but core.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from meshd_core.plugins.implementations import hook_names
from tests.matrix.environment import CORE, Environment, asked, plugin_names

# What could lean on a plugin: the rest of core's tests never see one.
CORE_TESTS = (
    "tests/plugins", "tests/config", "tests/auth", "tests/fleet", "tests/client", "tests/cli/test_local_commands.py",
    "tests/cli/test_config_schema.py", "tests/daemon/test_filters.py", "tests/daemon/test_sinks.py",
    "tests/daemon/test_engines.py", "tests/daemon/test_third_party_auth.py", "tests/daemon/test_inject.py",
)  # fmt: skip

Plugins = dict[str, dict[str, Any]]


class Matrix:
    def __init__(self, folder: Path) -> None:
        self.failures: list[str] = []
        self._began = time.monotonic()
        self._names = plugin_names()
        self._environment = Environment(folder)
        self._say("wheels built")

    def run(self) -> None:
        self._environment.become(self._names)
        whole = asked(self._environment)
        self._check_whole(whole)
        for name in self._names:
            self._environment.become([other for other in self._names if other != name])
            self._check_missing(name, whole, asked(self._environment))
        self._environment.become([])
        alone = asked(self._environment)
        self._tests("core alone", CORE_TESTS)
        for name in self._names:
            self._environment.become([name])
            self._check_added(name, whole, alone, asked(self._environment))
            if (self._environment.tree / "plugins" / name / "tests").is_dir():
                self._tests(f"core and {name}", (f"plugins/{name}/tests",))
            else:
                self._say(f"core and {name}: it has no tests of its own (make test-agents runs its agent)")

    def _check_whole(self, whole: Plugins) -> None:
        """Everything works, and every hook has a user."""
        broken = {name: one["error"] for name, one in whole.items() if name and one["error"]}
        self._expect("all", "no plugin is broken", broken, {})
        used = {hook for name, one in whole.items() if name for hook in one["hooks"]}
        self._expect("all", "every hook has a user", used, set(hook_names()))
        self._say("all")

    def _check_missing(self, name: str, whole: Plugins, rest: Plugins) -> None:
        """Exactly what was `name`'s is gone."""
        own = _of(whole, name)
        place = f"all but {name}"
        self._expect(
            place, "the other plugins", _plugins(rest), {k: v for k, v in _plugins(whole).items() if k not in own}
        )
        self._expect(place, "/metrics", rest[""]["metrics"], whole[""]["metrics"] and not _exports(whole, own))
        gone = set(whole[""]["commands"]) - set(rest[""]["commands"])
        self._expect(place, "commands that are gone", gone, _commands(whole, own))
        self._say(place)

    def _check_added(self, name: str, whole: Plugins, alone: Plugins, found: Plugins) -> None:
        """Exactly what is `name`'s has come."""
        own = _of(whole, name)
        place = f"core and {name}"
        expected = {**_plugins(alone), **{k: v for k, v in _plugins(whole).items() if k in own}}
        self._expect(place, "the plugins", _plugins(found), expected)
        self._expect(place, "/metrics", found[""]["metrics"], _exports(whole, own))

    def _tests(self, place: str, paths: tuple[str, ...]) -> None:
        printed = self._environment.tests(paths)
        if printed is not None:
            self.failures.append(f"{place}: tests failed\n{printed}")
        self._say(f"{place}: tests {'passed' if printed is None else 'FAILED'}")

    def _expect(self, place: str, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.failures.append(f"{place}: {what}: {found!r} instead of {expected!r}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)


def _plugins(found: Plugins) -> Plugins:
    return {name: one for name, one in found.items() if name}


def _of(whole: Plugins, distribution: str) -> set[str]:
    """The plugins of one distribution."""
    return {name for name, one in _plugins(whole).items() if one["distribution"] == distribution}


def _exports(whole: Plugins, names: set[str]) -> bool:
    return any("route:GET /metrics" in whole[name]["provides"] for name in names)


def _commands(whole: Plugins, names: set[str]) -> set[str]:
    """The commands of these plugins: by convention one, with the plugin's name."""
    return {name for name in names if "meshd_cli" in whole[name]["hooks"]}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="meshd-matrix-") as folder:
        matrix = Matrix(Path(folder))
        matrix.run()
    for failure in matrix.failures:
        print(failure, file=sys.stderr)
    print(f"{len(plugin_names())} plugins and {CORE}: {len(matrix.failures)} failures")
    return 1 if matrix.failures else 0


if __name__ == "__main__":
    sys.exit(main())
