"""Meshes for tests: nodes over lists in one process, and real daemons in network namespaces."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from meshd_core.config.check import CheckedConfig
from meshd_core.config.decode import Document
from meshd_core.config.load import LoadedConfig
from meshd_core.config.model import Config, PeerSection
from meshd_core.contracts.secrets import SecretRef
from meshd_core.events import EventBus
from meshd_core.mesh.mesh import Mesh
from tests.http.conftest import Running, serving
from tests.http.memory_node import MemoryNode

Json = dict[str, Any]


def checked(node: str, base: Path, peers: Sequence[PeerSection]) -> CheckedConfig:
    """A configuration with nothing but a table of nodes."""
    config = Config(nodes=list(peers))
    loaded = LoadedConfig(config, base / "meshd.toml", base, Document("meshd.toml", {}))
    return CheckedConfig(config, loaded, node, (), (), frozenset(), ())


class Pair:
    """mac1 and mac2, each with the slots of a `MemoryNode`; `near` knows `far`."""

    def __init__(
        self, near: Running, far: Running, mesh: Mesh, peer_token: str, buses: tuple[EventBus, EventBus]
    ) -> None:
        self.near, self.far, self.mesh, self.peer_token = near, far, mesh, peer_token
        self.near_bus, self.far_bus = buses


@asynccontextmanager
async def pair(folder: Path, scope: str = "inject", *globs: str) -> AsyncIterator[Pair]:
    """Two nodes; mac1's token at mac2 has `scope` and `globs`."""
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir()
        node = MemoryNode()
        node.name = "mac2"
        buses = EventBus("mac1"), EventBus("mac2")
        far_mesh = Mesh(checked("mac2", folder / "two", []), buses[1], folder / "two")
        await stack.enter_async_context(far_mesh.running())
        far = await stack.enter_async_context(serving(folder / "two", node, hosts=["mac2"], mesh=far_mesh))
        token = far.store.create(scope, globs or ("*",), label="peer:mac1")[0]  # type: ignore[arg-type]
        (folder / "one" / "mac2.token").write_text(token)
        section = PeerSection("mac2", f"http://127.0.0.1:{far.port}", SecretRef(file="mac2.token"))
        mesh = Mesh(checked("mac1", folder / "one", [section]), buses[0], folder / "one")
        await stack.enter_async_context(mesh.running())
        near = await stack.enter_async_context(serving(folder / "one", mesh=mesh))
        yield Pair(near, far, mesh, token, buses)
