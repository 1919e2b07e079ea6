"""A scripted server on loopback for each test that asks."""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshd_core.client import MeshdClient

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module `scripted_server`."""
    return _load("scripted_server")


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Any:
    """Makes a client: `MeshdClient`, and once more the async one in a form that blocks."""
    return MeshdClient if request.param == "sync" else _load("blocking").Blocking


@pytest.fixture
def server(scripted: ModuleType) -> Iterator[object]:
    """A server on a free loopback port; set `handle` to say what it answers."""
    running = scripted.ScriptedServer(socket.create_server(("127.0.0.1", 0))).start()
    yield running
    running.close()
