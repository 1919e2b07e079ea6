"""An engine in a real daemon: it prompts idle slots, joins what it asked before, and fails without hurting anyone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import PluginList

PLUGIN = """
import asyncio, pathlib, msgspec
from meshd_core.api import Engine, InjectRequest, hookimpl

class Folder(Engine):
    name = "folder"
    def __init__(self, folder):
        self.folder = folder
    async def run(self, daemon):
        events = []
        end = daemon.subscribe(events.append)
        while True:
            for job in sorted(self.folder.glob("*.job")):
                slot = next(slot.name for slot in daemon.slots() if slot.kind == "demo")
                request = InjectRequest(text=job.read_text(), until="completed")
                first, again = [await daemon.inject(slot, request, key=job.stem) for _ in range(2)]
                assert first == again == daemon.receipt(first.id)
                assert any(event.type == "inject" for event in events)
                job.with_suffix(".done").write_bytes(msgspec.json.encode(first))
                job.unlink()
            await asyncio.sleep(0.05)

class Failing(Engine):
    name = "failing"
    async def run(self, daemon):
        raise RuntimeError("no broker")

@hookimpl
def meshd_engines(ctx):
    folder = pathlib.Path(ctx.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return [Failing(), Folder(folder)]
"""


@pytest.fixture
def daemon(short_tmp: Path, demo_slot: str) -> Iterator[DaemonProcess]:
    site = short_tmp / "site"
    info = site / "toy_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_engine.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\ntoy = toy_engine\n")
    with DaemonProcess(short_tmp, demo_slot, {"PYTHONPATH": str(site)}) as daemon:
        daemon.wait_for("demo", "idle")
        yield daemon


def test_an_engine_prompts_a_slot_once_and_another_engines_failure_is_told(
    daemon: DaemonProcess, prompts: Any, eventually: Any
) -> None:
    (folder,) = daemon.state.rglob("toy")
    (folder / "job-1.job").write_text("hello from outside")
    eventually(lambda: (folder / "job-1.done").exists(), 30)
    receipt = json.loads((folder / "job-1.done").read_text())
    assert (receipt["stage"], receipt["reply"]) == ("completed", "echo: hello from outside")
    assert prompts() == ["hello from outside"]
    (toy,) = [plugin for plugin in daemon.get("/plugins", PluginList).plugins if plugin.name == "toy"]
    assert toy.status == "active"
    assert toy.error == "engine failing: RuntimeError: no broker"
    assert json.loads(daemon.call("GET", "/health")) == {"status": "ok"}
