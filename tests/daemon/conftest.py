"""A real daemon with demo agents, and a stream reader that resumes."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess


class Stream:
    """Reads `/stream/{slot}` in a thread; after every break it resumes by Last-Event-ID."""

    def __init__(self, daemon: DaemonProcess, slot: str, query: str = "since=oldest") -> None:
        self._daemon, self._path = daemon, f"/stream/{slot}"
        self._query: str | None = query
        self._last_id: str | None = None
        self._stop = threading.Event()
        self.events: list[tuple[str, Any]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def texts(self) -> list[str]:
        return [data["text"] for event, data in list(self.events) if event == "line"]

    def of(self, kind: str) -> list[Any]:
        return [data for event, data in list(self.events) if event == kind]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._read()
            self._stop.wait(0.05)

    def _read(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._daemon.port, timeout=2)
        try:
            headers = {"Authorization": f"Bearer {self._daemon.token}"}
            if self._last_id is not None:
                headers["Last-Event-ID"] = self._last_id
            query = f"?{self._query}" if self._query and self._last_id is None else ""
            connection.request("GET", self._path + query, headers=headers)
            self._events(connection.getresponse())
        finally:
            connection.close()

    def _events(self, answer: http.client.HTTPResponse) -> None:
        fields: dict[str, str] = {}
        while not self._stop.is_set():
            try:
                line = answer.readline()
            except TimeoutError:
                continue
            if not line:
                return
            text = line.decode().rstrip("\n")
            if not text and fields:
                self.events.append((fields["event"], json.loads(fields["data"])))
                self._last_id = fields.get("id", self._last_id)
                fields = {}
            elif text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                fields[name] = value


@pytest.fixture
def make_daemon(short_tmp: Path) -> Iterator[Callable[..., DaemonProcess]]:
    """Start a daemon with these `[[slots]]`; it and its agents are ended after the test."""
    made: list[DaemonProcess] = []

    def make(slots: str, env: Mapping[str, str] | None = None) -> DaemonProcess:
        daemon = DaemonProcess(short_tmp, slots, env)
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.shutdown()


@pytest.fixture
def prompts(short_tmp: Path) -> Callable[[], list[str]]:
    """What the demo agent says that it received: the other side of the receipts."""
    return lambda: [json.loads(line)["text"] for line in (short_tmp / "demo.jsonl").read_text().splitlines()]


@pytest.fixture
def demo_slot(short_tmp: Path) -> str:
    return f"""[[slots]]
name = "demo"
kind = "demo"
env = {{ MESHD_DEMO_LOG = "{short_tmp / "demo.jsonl"}" }}
"""


@pytest.fixture
def stream() -> Iterator[Callable[..., Stream]]:
    made: list[Stream] = []

    def open_stream(daemon: DaemonProcess, slot: str, query: str = "since=oldest") -> Stream:
        made.append(Stream(daemon, slot, query))
        return made[-1]

    yield open_stream
    for one in made:
        one.close()
