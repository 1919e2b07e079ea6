"""A real keeper for each test, ended with everything that it holds."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from meshd_core.pty.client import KeeperClient
from meshd_core.pty.errors import KeeperError
from meshd_core.pty.messages import ChildInfo, SpawnSpec


async def until(condition: Callable[[], object], what: str, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether the process ended (a zombie that its parent has not reaped counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Bench:
    """Connects to one keeper and cleans up after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "keeper.sock"
        self.clients: list[KeeperClient] = []
        self.fds: list[int] = []
        self.keepers: set[int] = set()

    until = staticmethod(until)
    gone = staticmethod(gone)

    async def connect(self) -> KeeperClient:
        client = await KeeperClient.connect(self.socket)
        self.clients.append(client)
        self.keepers.add(client.keeper_pid)
        return client

    def spec(self, *argv: str, cwd: str = "/", env: dict[str, str] | None = None, **meta: str) -> SpawnSpec:
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm"} if env is None else env
        return SpawnSpec("slot-1", argv, environment, cwd, 24, 80, meta)

    async def sh(self, client: KeeperClient, script: str) -> tuple[ChildInfo, int]:
        info, fd = await client.spawn(self.spec("sh", "-c", script))
        self.fds.append(fd)
        return info, fd

    async def python(self, client: KeeperClient, program: str) -> tuple[ChildInfo, int]:
        info, fd = await client.spawn(self.spec(sys.executable, "-c", program))
        self.fds.append(fd)
        return info, fd

    async def read_until(self, fd: int, end: bytes, deadline_s: float = 20.0) -> bytes:
        data = bytearray()

        def more() -> bool:
            try:
                data.extend(os.read(fd, 65536))
            except BlockingIOError:
                pass
            except OSError:
                assert end in data, f"the terminal ended after {bytes(data[-300:])!r}"
            return end in data

        await until(more, f"{end!r} in the output", deadline_s)
        return bytes(data)

    async def exited(self, client: KeeperClient, run: str) -> ChildInfo:
        async with asyncio.timeout(20):
            while True:
                [info] = [child for child in await client.children() if child.run == run]
                if info.exited_at_ms is not None:
                    return info
                await asyncio.sleep(0.01)

    async def clean(self) -> None:
        for client in self.clients:
            await client.close()
        for fd in self.fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        with contextlib.suppress(KeeperError):
            client = await KeeperClient.connect(self.socket, start=False)
            self.keepers.add(client.keeper_pid)
            await client.shutdown(force=True)
        for pid in self.keepers:
            await until(lambda pid=pid: gone(pid), "the keeper's end", 5.0)


@pytest.fixture
async def bench(short_tmp: Path) -> AsyncIterator[Bench]:
    one = Bench(short_tmp)
    yield one
    await one.clean()
