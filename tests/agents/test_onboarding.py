"""A real agent without a login, or in a folder that it does not know, says what a person must do, and is left alone."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.cli_cache import cache_folder, installed_binary
from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.testing.model_backend import ModelBackend
from meshd_core.types import SlotDetail
from tests.agents.conftest import HOMES

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.clis("claude", "codex", "gemini")]
Home = Callable[[Path, Path, str], dict[str, str]]


def fresh_codex(home: Path, cwd: Path, url: str) -> dict[str, str]:
    """No configuration at all."""
    env = HOMES["codex"](home, cwd, url)
    shutil.rmtree(home)
    (home / ".codex").mkdir(parents=True)
    del env["FAKE_KEY"]
    return env


def untrusted_claude(home: Path, cwd: Path, url: str) -> dict[str, str]:
    env = HOMES["claude"](home, cwd, url)
    path = home / ".claude/.claude.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "projects": {}}))
    return env


def untrusted_gemini(home: Path, cwd: Path, url: str) -> dict[str, str]:
    env = HOMES["gemini"](home, cwd, url)
    (home / ".gemini/trustedFolders.json").unlink()
    return env


def logged_out_claude(home: Path, cwd: Path, url: str) -> dict[str, str]:
    env = HOMES["claude"](home, cwd, url)
    del env["ANTHROPIC_API_KEY"]
    return env


SCREENS: dict[str, tuple[tuple[Home, str, str], ...]] = {
    "claude": (
        (untrusted_claude, "trust", "Is this a project you created or one you trust?"),
        (logged_out_claude, "login", "Not logged in"),
    ),
    "codex": ((fresh_codex, "login", "Choose how you want to use Codex."),),
    "gemini": ((untrusted_gemini, "trust", "Do you trust the files in this folder?"),),
}
"""By CLI: how its home is made, and kind and words of what it asks then."""


@pytest.fixture(scope="module")
def agent(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Which CLI, and its program: here each test has homes of its own."""
    name, pin = request.param
    cli = name.partition("-")[0]
    return cli, installed_binary(cli, pin, cache_folder())


@contextmanager
def running(cli: str, binary: Path, home: Home) -> Iterator[DaemonProcess]:
    """A daemon with one slot, whose agent has that home."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    (folder / "work").mkdir()
    try:
        with ModelBackend() as backend:
            env = home(folder / "home", folder / "work", backend.url)
            table = "\n".join(f'{key} = "{value}"' for key, value in env.items())
            text = f'[[slots]]\nname = "{cli}"\nkind = "{cli}"\ncommand = ["{binary}"]\ncwd = "{folder}/work"\n'
            with DaemonProcess(folder, f"{text}[slots.env]\n{table}\n") as daemon:
                yield daemon
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_says_what_a_person_must_do_and_nothing_is_typed(agent: Any) -> None:
    cli, binary = agent
    for home, kind, question in SCREENS[cli]:
        with running(cli, binary, home) as daemon:
            _left_alone(daemon, cli, kind, question)


def _left_alone(daemon: DaemonProcess, name: str, kind: str, question: str) -> None:
    found = daemon.wait_for(name, "onboarding", 60)
    assert found.activity.state == "onboarding", found
    assert found.activity.evidence
    dialog = found.dialog
    assert dialog is not None
    assert (dialog.kind, question in dialog.question, "meshd attach" in (dialog.advice or "")) == (kind, True, True)
    receipt = daemon.inject(name, "not into such a screen", until="written", timeout_s=3)
    assert receipt.stage == "accepted"
    for path, body in (
        ("inject", {"text": "nor this", "when": "now"}), ("inject", {"text": "nor this", "when": "steer"}),
        ("interrupt", {}), ("answer", {"dialog_id": dialog.id, "choice": "accept"}),
        ("answer", {"dialog_id": dialog.id, "choice": "deny"}),
    ):  # fmt: skip
        with pytest.raises(HttpFailure) as refused:
            daemon.call("POST", f"/{path}/{name}", body)
        assert refused.value.code in ("slot_waiting", "not_supported"), path
    after = daemon.get(f"/slots/{name}", SlotDetail)
    assert (after.activity.state, after.counters.bytes_written) == ("onboarding", 0)
    daemon.call("POST", f"/stop/{name}", {})
    left = daemon.wait_for(name, "stopped", 20).exit
    assert left is not None and left.signal not in ("SIGTERM", "SIGKILL"), left  # it left by its own keys
