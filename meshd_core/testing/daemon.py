"""A real daemon for tests: `meshd serve` as a process, with places of its own, driven over HTTP."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from meshd_core.types import ErrorAnswer, OutputPage, Receipt, ReloadReport, SlotDetail

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 30.0
T = TypeVar("T", bound=Struct)
_NONE: Mapping[str, str] = MappingProxyType({})


class HttpFailure(AssertionError):
    """An answer that the test did not expect."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}: {body[:2000].decode('utf-8', 'replace')}")
        self.status, self.body = status, body

    @property
    def code(self) -> str:
        return msgspec.json.decode(self.body, type=ErrorAnswer).error.code


class DaemonProcess:
    """`meshd serve` on a free port of 127.0.0.1; a context manager that ends it with its agents.

    `slots` is the TOML of its `[[slots]]`. `folder` must have a short path: Unix socket addresses hold about 100 bytes.
    `name` is the node's; `netns` a network namespace for it to run in, `address` one of its own there.
    """

    def __init__(
        self, folder: Path, slots: str, env: Mapping[str, str] | None = None, *, name: str = "test",
        address: str = "127.0.0.1", netns: str | None = None,
    ) -> None:  # fmt: skip
        self.name, self.address, self._netns = name, address, netns
        self.state, self.runtime, self.config = folder / "state", folder / "run", folder / "meshd.toml"
        self.log = folder / "daemon.log"
        self.configure(slots)
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.token = ""

    def __enter__(self) -> "DaemonProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the daemon was not started"
        return self._process.pid

    def configure(self, slots: str, node: str = "port = 0") -> None:
        """Write the configuration anew; a daemon that runs reads it at its next reload. `node`: more of `[node]`."""
        self.config.write_text(f'[node]\nname = "{self.name}"\nbind = ["{self.address}"]\n{node}\n\n{slots}')

    def reload(self, **request: Any) -> ReloadReport:
        return msgspec.json.decode(self.call("POST", "/reload", request), type=ReloadReport)

    def start(self) -> None:
        """Start it and wait until it answers. Also after `kill`, with the same state."""
        process = self.spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert process.poll() is None, f"the daemon ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"the daemon doesn't answer: {self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start it and wait for nothing."""
        (self.state / "address").unlink(missing_ok=True)
        places = ["--config", self.config, "--state-dir", self.state, "--runtime-dir", self.runtime]
        command = [sys.executable, "-m", "meshd_core.cli", "serve", *map(str, places)]
        if self._netns is not None:
            command = ["ip", "netns", "exec", self._netns, *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )
        return self._process

    def kill(self) -> None:
        """End the daemon as a crash would; its agents go on."""
        assert self._process is not None, "the daemon was not started"
        self._process.kill()
        self._process.wait(timeout=STOP_TIMEOUT_S)

    def terminate(self) -> int:
        """End the daemon with SIGTERM, as a service manager would; its agents go on. The exit code."""
        assert self._process is not None, "the daemon was not started"
        self._process.terminate()
        return self._process.wait(timeout=STOP_TIMEOUT_S)

    def shutdown(self) -> None:
        """End agents, keeper and daemon."""
        if self._process is None:
            return
        if self._process.poll() is not None:
            self.start()
        self.call("POST", "/shutdown", {"agents": "stop"})
        self._process.wait(timeout=STOP_TIMEOUT_S)
        self._process = None

    def call(
        self, method: str, path: str, body: object = None, timeout_s: float = 60.0, headers: Mapping[str, str] = _NONE
    ) -> bytes:
        """The body of an answer below 300. Raises HttpFailure for any other."""
        status, content = self.exchange(method, path, body, timeout_s, headers)
        if status >= 300:
            raise HttpFailure(status, content)
        return content

    def exchange(
        self, method: str, path: str, body: object = None, timeout_s: float = 60.0, headers: Mapping[str, str] = _NONE
    ) -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = msgspec.json.encode(body) if body is not None else None
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str, kind: type[T], timeout_s: float = 60.0) -> T:
        return msgspec.json.decode(self.call("GET", path, timeout_s=timeout_s), type=kind)

    def inject(self, slot: str, text: str, until: str = "completed", timeout_s: float = 60.0, **more: Any) -> Receipt:
        body = {"text": text, "until": until, "timeout_s": timeout_s, **more}
        return msgspec.json.decode(self.call("POST", f"/inject/{slot}", body, timeout_s + 30), type=Receipt)

    def wait_for(self, slot: str, states: str, wait_s: float = 30.0) -> SlotDetail:
        """The slot once its activity or status is one of `states` (comma-separated), or as it is after `wait_s`."""
        return self.get(f"/slots/{slot}?wait_for={states}&wait_s={wait_s:g}", SlotDetail, wait_s + 30)

    def lines(self, slot: str) -> list[str]:
        """All lines that the slot's ring holds."""
        found: list[str] = []
        since = "oldest"
        while True:
            page = self.get(f"/output/{slot}?since={since}&limit=1000", OutputPage)
            found += [line.text for line in page.lines]
            if not page.lines:
                return found
            since = page.next

    def _answers(self) -> bool:
        try:
            self.port = int((self.state / "address").read_text().split()[0].rstrip("/").rpartition(":")[2])
            self.token = (self.state / "admin.token").read_text().strip()
            self.call("GET", "/health", timeout_s=2)
        except (OSError, ValueError, IndexError, HttpFailure, http.client.HTTPException):
            return False
        return True
