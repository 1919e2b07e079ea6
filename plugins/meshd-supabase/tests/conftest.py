"""Events to send, and the two receivers: one that answers as it is told to, and the real one from npm."""

import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from meshd_supabase.connection import SupabaseConnection
from meshd_supabase.options import SupabaseOptions
from meshd_supabase.sink import SupabaseSink

from meshd_core.api import SecretRef, SinkContext

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs npm is run by `make test-supabase` (-m supabase), as the tests of real agents are."""
    if "supabase" in config.getoption("markexpr", default=""):
        return
    left_out = [item for item in items if item.get_closest_marker("supabase")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module `scripted_postgrest`."""
    return _load("scripted_postgrest")


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """The module `sample_events`."""
    return _load("sample_events")


@pytest.fixture(scope="session")
def lite_module() -> ModuleType:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on PATH: @supabase/lite comes from npm")
    return _load("lite_server")


@pytest.fixture(scope="module")
def lite(lite_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running @supabase/lite."""
    with lite_module.LiteServer(tmp_path_factory.mktemp("lite")) as server:
        yield server


@pytest.fixture
def open_sink(tmp_path: Path) -> Callable[..., SupabaseConnection]:
    """Opens the sink as core does; `token` is its JWT, or a function that gives it. Close it."""

    def open_sink(url: str, token: Any, node: str = "n1", **options: Any) -> SupabaseConnection:
        def read(ref: SecretRef) -> str:
            return str(token() if callable(token) else token)

        settings = SupabaseOptions(url=url, token=SecretRef(env="jwt"), **options)
        context = SinkContext(
            name="fleet", node=node, boot_id="B", options=settings, state_dir=tmp_path, read_secret=read
        )
        connection = SupabaseSink().open(context)
        assert isinstance(connection, SupabaseConnection)
        return connection

    return open_sink


@pytest.fixture
async def connect(open_sink: Callable[..., SupabaseConnection]) -> AsyncIterator[Callable[..., SupabaseConnection]]:
    """`open_sink` for async tests: closes what it opened."""
    opened: list[SupabaseConnection] = []

    def connect(*arguments: Any, **options: Any) -> SupabaseConnection:
        opened.append(open_sink(*arguments, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        await connection.close()
