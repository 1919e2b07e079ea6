"""What the tests of the command line share: `meshd` as a process, and a scripted daemon on a Unix socket."""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTED = Path(__file__).parent.parent / "client" / "scripted_server.py"
CLEAN_ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("MESHD_")}

Meshd = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module `scripted_server` of the client's tests."""
    spec = importlib.util.spec_from_file_location("scripted_server", SCRIPTED)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scripted_server"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(scripted: ModuleType, short_tmp: Path) -> Iterator[Any]:
    """A scripted daemon whose socket is where `meshd` looks for it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_tmp / "meshd.sock"))
    listener.listen()
    running = scripted.ScriptedServer(listener).start()
    yield running
    running.close()


@pytest.fixture
def environment(short_tmp: Path) -> dict[str, str]:
    """Of a person whose own files are all under `short_tmp`."""
    return CLEAN_ENVIRONMENT | {
        "HOME": str(short_tmp),
        "XDG_CONFIG_HOME": str(short_tmp / "config"),
        "XDG_STATE_HOME": str(short_tmp / "state"),
        "MESHD_RUNTIME_DIR": str(short_tmp),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def command() -> list[str]:
    """The words that run `meshd`."""
    return [sys.executable, "-m", "meshd_core.cli"]


@pytest.fixture
def meshd(command: list[str], environment: dict[str, str]) -> Meshd:
    """Run `meshd` with these words to its end, at most 30 s."""

    def run(*words: str, stdin: str | bytes = "", **env: str) -> "subprocess.CompletedProcess[str]":
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([*command, *words], env=environment | env, input=data, capture_output=True, timeout=30)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
