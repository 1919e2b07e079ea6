"""Fixtures that every test folder shares."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the daemon is asyncio code (add_reader, transports)."""
    return "asyncio"


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A temporary folder with a short path: Unix socket addresses hold about 100 bytes."""
    path = Path(tempfile.mkdtemp(prefix="m-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until `condition()` holds; the test fails with `what` after `within_s`."""

    def wait(condition: Callable[[], object], within_s: float = 15, what: object = "it did not come true") -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, what() if callable(what) else what
            time.sleep(0.05)

    return wait
