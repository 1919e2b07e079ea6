"""Real agent CLIs behind a real daemon. Only those named in `--agents=claude,opencode` or MESHD_TEST_AGENTS are run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd_core.testing.cli_cache import cache_folder, installed_binary, read_pins
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.model_backend import ModelBackend
from meshd_core.testing.sandbox import claude_home, codex_home, gemini_home, opencode_home, pi_home

HOMES = {"claude": claude_home, "opencode": opencode_home, "codex": codex_home, "gemini": gemini_home}
ALL_PINS = read_pins(Path(__file__).parent / "versions.toml")
PINS = {name: pin for name, pin in ALL_PINS.items() if name in HOMES}
PI_SLOT = Path(__file__).parents[2] / "plugins/meshd-generic/examples/pi.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--agents", default="", help="real agent CLIs to run, e.g. claude,opencode; `all` runs all")
    parser.addoption("--record-prompts", default="", help="folder of the corpus that what became of prompts is kept in")


def _chosen(config: pytest.Config) -> set[str]:
    text = config.getoption("--agents", default="") or os.environ.get("MESHD_TEST_AGENTS", "")
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := names - ALL_PINS.keys() - {"all"}:
        raise pytest.UsageError(f"--agents: {', '.join(sorted(unknown))}: known are {', '.join(ALL_PINS)}, all")
    return set(ALL_PINS) if "all" in names else names


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of agents that were not chosen: they need npm and half a gigabyte."""
    chosen = _chosen(config)
    left_out = [item for item in items if item.get_closest_marker("agents") and _agent_of(item) not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:  # Each CLI's tests share a daemon: one process runs them all.
        if item.get_closest_marker("agents"):
            item.add_marker(pytest.mark.xdist_group(_agent_of(item)))


def _agent_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("agent", "") if callspec is not None else ""


class AgentUnderTest:
    """One real CLI in a slot that bears its name, and the fake model that it talks to."""

    def __init__(self, name: str, folder: Path, daemon: DaemonProcess, backend: ModelBackend) -> None:
        self.name, self.daemon, self.backend = name, daemon, backend
        self.version, self.cwd = ALL_PINS[name].version, folder / "work"


@pytest.fixture(scope="module", params=list(PINS))
def agent(request: pytest.FixtureRequest) -> Iterator[AgentUnderTest]:
    name: str = request.param
    binary = installed_binary(name, ALL_PINS[name], cache_folder())
    folder = Path(tempfile.mkdtemp(prefix="ma-"))
    try:
        with ModelBackend(folder / "model.jsonl") as backend:
            slot = (_pi_slot if name == "pi" else _slot)(name, binary, folder, backend.url)
            with DaemonProcess(folder, slot) as daemon:
                yield AgentUnderTest(name, folder, daemon, backend)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _slot(name: str, binary: Path, folder: Path, backend_url: str) -> str:
    home, cwd = folder / "home", folder / "work"
    cwd.mkdir()
    args = ["--permission-mode", "manual"] if name == "claude" else []
    env = HOMES[name](home, cwd, backend_url)
    lines = [f'{key} = "{value}"' for key, value in env.items()]
    return "\n".join(
        [
            f'[[slots]]\nname = "{name}"\nkind = "{name}"\ncommand = ["{binary}"]\nargs = {args}\ncwd = "{cwd}"',
            "[slots.env]",
            *lines,
        ]
    )


def _pi_slot(name: str, binary: Path, folder: Path, backend_url: str) -> str:
    """The slot of the example, with the program, the folder and the environment of this test."""
    cwd = folder / "work"
    cwd.mkdir()
    env = pi_home(folder / "home", cwd, backend_url)
    env.pop("PI_OFFLINE")  # it is in the example
    text = PI_SLOT.read_text().replace('command = ["pi"]', f'command = ["{binary}"]')
    text = text.replace('cwd = "~/src"', f'cwd = "{cwd}"')
    return text.replace(
        "[slots.env]", "\n".join(["[slots.env]", *(f'{key} = "{value}"' for key, value in env.items())])
    )
