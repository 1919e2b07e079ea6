"""Real agent CLIs behind a real daemon. Only those named in `--agents=claude,opencode` or MESHD_TEST_AGENTS are run.

`claude` is the CLI at its pinned version, `claude-2.1.311` at any that npm has; `all` are all CLIs, `every` is every
version that is in versions.toml as recorded. A test gets its `agent` for claude, codex, gemini and opencode unless its
mark `clis` names others; with the mark `unseen`, at a version that nothing was measured with.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd_core.slots.sanitize import refused, sanitize
from meshd_core.slots.versions import profile_for_version
from meshd_core.testing.cli_cache import PinnedCli
from meshd_core.testing.corpus.subjects import installed_kinds
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.model_backend import ModelBackend
from tests.agents.slots import HOMES, PINS, agent_slot


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--agents", default="", help="real agent CLIs to run, e.g. claude,codex-0.164.0; all; every")
    parser.addoption("--record-prompts", default="", help="folder of the corpus that what became of prompts is kept in")


def _chosen(config: pytest.Config) -> dict[str, PinnedCli]:
    text = config.getoption("--agents", default="") or os.environ.get("MESHD_TEST_AGENTS", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if "every" in names:
        names += [f"{cli}-{one.version}" for cli, pin in PINS.items() for one in pin.versions()]
    names += list(PINS) if "all" in names else []
    chosen: dict[str, PinnedCli] = {}
    for name in names:
        if name not in ("all", "every"):
            chosen |= _named(name)
    return chosen


def _named(name: str) -> dict[str, PinnedCli]:
    cli, _, version = name.partition("-")
    if (pin := PINS.get(cli)) is None:
        raise pytest.UsageError(f"--agents: {name}: known are {', '.join(PINS)} (also as claude-2.1.311), all, every")
    return {cli if version in ("", pin.version) else name: pin.at(version or pin.version)}


def _strangers(config: pytest.Config) -> dict[str, PinnedCli]:
    """Versions that nothing was measured with: the one of each CLI, and what else was asked for."""
    named = {f"{cli}-{pin.unseen}": pin.at(pin.unseen) for cli, pin in PINS.items() if pin.unseen}
    known = {one for pin in PINS.values() for one in pin.versions()}
    return named | {name: pin for name, pin in _chosen(config).items() if pin not in known}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "agent" not in metafunc.fixturenames:
        return
    clis = metafunc.definition.get_closest_marker("clis")
    wanted = HOMES if clis is None else clis.args
    pins = {name: pin.at(pin.version) for name, pin in PINS.items()} | _chosen(metafunc.config)
    if metafunc.definition.get_closest_marker("unseen"):
        pins = _strangers(metafunc.config)
    params = [pytest.param((name, pin), id=name) for name, pin in pins.items() if name.partition("-")[0] in wanted]
    metafunc.parametrize("agent", params, indirect=True, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of agents that were not chosen: they need npm and half a gigabyte."""
    chosen = _chosen(config)
    left_out = [item for item in items if item.get_closest_marker("agents") and not _is_chosen(item, chosen)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:  # Each CLI's tests share a daemon: one process runs them all.
        if item.get_closest_marker("agents"):
            item.add_marker(pytest.mark.xdist_group(_agent_of(item)))


def _is_chosen(item: pytest.Item, chosen: dict[str, PinnedCli]) -> bool:
    name = _agent_of(item)
    return name in chosen or (item.get_closest_marker("unseen") is not None and name.partition("-")[0] in chosen)


def _agent_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return callspec.params["agent"][0] if callspec is not None and "agent" in callspec.params else ""


class AgentUnderTest:
    """One real CLI in a slot that bears its name, and the fake model that it talks to."""

    def __init__(
        self, name: str, version: str, folder: Path, slot: str, daemon: DaemonProcess, backend: ModelBackend
    ) -> None:
        self.name, self.version, self.cwd, self.slot = name, version, folder / "work", slot
        self.daemon, self.backend = daemon, backend

    def may_not_be_typed(self, text: str) -> bool:
        """Whether the kind's data for this version say that nothing makes `text` plain."""
        rules = profile_for_version(installed_kinds()[self.name].profile, self.version).sanitize
        return refused(sanitize(text, rules)[0], rules) is not None


@pytest.fixture(scope="module")
def agent(request: pytest.FixtureRequest) -> Iterator[AgentUnderTest]:
    name, pin = request.param
    cli = name.partition("-")[0]
    folder = Path(tempfile.mkdtemp(prefix="ma-"))
    try:
        with ModelBackend(folder / "model.jsonl") as backend:
            slot = agent_slot(cli, pin, folder, backend.url)
            with DaemonProcess(folder, slot) as daemon:
                yield AgentUnderTest(cli, pin.version, folder, slot, daemon, backend)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
