"""A LocalAPI as tailscaled's, on a Unix socket."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("local_api_server", Path(__file__).with_name("local_api_server.py"))
assert _SPEC is not None and _SPEC.loader is not None
sys.modules["local_api_server"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sys.modules["local_api_server"])


@pytest.fixture
def local_api(short_tmp: Path) -> Iterator[Any]:
    from local_api_server import LocalApi

    server = LocalApi(short_tmp / "ts.sock")
    yield server
    server.close()
