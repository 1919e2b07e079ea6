"""Fleet sinks in a real daemon: they get its events, and nothing that they do reaches a slot."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import SinkInfo, SinkList

PLUGIN = """
import threading, msgspec
from meshd_core.api import FleetSink, SinkConnection, hookimpl

class Options(msgspec.Struct, forbid_unknown_fields=True):
    path: str

class Keep(FleetSink, SinkConnection):
    name = "keep"
    def options_type(self):
        return Options
    def open(self, context):
        self.file = open(context.options.path, "ab", buffering=0)
        return self
    async def send(self, batch):
        for event in batch:
            self.file.write(msgspec.json.encode(event) + b"\\n")
    async def close(self):
        self.file.close()

class Block(FleetSink, SinkConnection):
    def __init__(self, name):
        self.name = name
    def open(self, context):
        if self.name == "block-open":
            threading.Event().wait()
        return self
    async def send(self, batch):
        threading.Event().wait()
    async def close(self):
        threading.Event().wait()

class Exit(Block):
    async def send(self, batch):
        raise SystemExit(3)

@hookimpl
def meshd_fleet_sinks(ctx):
    return [Keep(), Block("block"), Block("block-open"), Exit("exit")]
"""


def sections(folder: Path, *bad: str) -> str:
    fast = "delivery = { batch_wait_s = 0.0, timeout_s = 0.5 }"
    text = f'[sinks.kept]\nplugin = "keep"\npath = "{folder / "kept.jsonl"}"\n{fast}\n'
    return text + "".join(f'[sinks.{name}]\nplugin = "{name}"\n{fast}\n' for name in bad)


@pytest.fixture
def make(short_tmp: Path, demo_slot: str) -> Iterator[Callable[..., DaemonProcess]]:
    site = short_tmp / "site"
    info = site / "keep-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "keep.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keep\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nkeep = keep\n")
    made: list[DaemonProcess] = []

    def start(*bad: str) -> DaemonProcess:
        made.append(DaemonProcess(short_tmp, demo_slot + sections(short_tmp, *bad), {"PYTHONPATH": str(site)}))
        made[0].start()
        made[0].wait_for("demo", "idle")
        return made[0]

    yield start
    for daemon in made:
        daemon.shutdown()


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "kept.jsonl").read_text().splitlines()]


def info(daemon: DaemonProcess, name: str) -> SinkInfo:
    return next(sink for sink in daemon.get("/sinks", SinkList).sinks if sink.name == name)


def test_a_sink_gets_what_happens_in_order_across_a_kill(
    make: Callable[..., DaemonProcess], short_tmp: Path, eventually: Any
) -> None:
    daemon = make()
    daemon.inject("demo", "hello secret words")
    daemon.inject("demo", "ask", until="submitted")
    daemon.wait_for("demo", "waiting")
    eventually(lambda: any(event["data"]["type"] == "dialog" for event in kept(short_tmp)))
    daemon.kill()
    daemon.start()
    daemon.call("POST", "/stop/demo")
    eventually(lambda: any(event["data"]["type"] == "exit" for event in kept(short_tmp)))
    daemon.shutdown()
    events = kept(short_tmp)
    assert [(event["boot_id"], event["seq"]) for event in events] == sorted(
        {(event["boot_id"], event["seq"]) for event in events}
    )
    assert len({event["id"] for event in events}) == len(events)
    types = [event["data"]["type"] for event in events]
    assert types[0] == "node" and set(types) == {"node", "slot", "inject", "dialog", "exit"}
    assert [event["data"]["event"] for event in events if event["data"]["type"] == "node"] == ["up", "up", "down"]
    stages = [event["data"]["stage"] for event in events if event["data"]["type"] == "inject"]
    assert stages[:2] == ["accepted", "writing"] and "completed" in stages
    assert "secret words" not in (short_tmp / "kept.jsonl").read_text()


def test_a_sink_is_told_how_many_prompts_wait(
    make: Callable[..., DaemonProcess], short_tmp: Path, eventually: Any
) -> None:
    """Also while nothing else changes, and after the last one was typed."""
    daemon = make()

    def told() -> tuple[str, int]:
        newest = [event["data"] for event in kept(short_tmp) if event["data"]["type"] == "slot"][-1]
        return newest["activity"]["state"], newest["queue"]

    daemon.inject("demo", "slow 2", until="submitted")
    for number in range(2):
        daemon.inject("demo", f"{number}", until="accepted")
    eventually(lambda: told() == ("busy", 2))
    eventually(lambda: told() == ("idle", 0))
    for number in range(20):
        daemon.inject("demo", f"quick {number}")
    eventually(lambda: told() == ("idle", 0))


def test_sinks_that_block_or_exit_touch_no_slot_and_no_other_sink(
    make: Callable[..., DaemonProcess], short_tmp: Path, eventually: Any
) -> None:
    daemon = make("block", "block-open", "exit")
    for number in range(20):
        assert daemon.inject("demo", f"prompt {number}").reply == f"echo: prompt {number}"
    eventually(lambda: info(daemon, "block").status == "failed")
    eventually(lambda: info(daemon, "exit").error == "PluginFault: it raised SystemExit")
    eventually(lambda: info(daemon, "kept").sent > 100)
    assert info(daemon, "kept").status == "ok"
    assert info(daemon, "block-open").queued > 100
    assert daemon.terminate() == 0, "it ends although threads never do"


def test_meshd_sinks_shows_them(make: Callable[..., DaemonProcess], eventually: Any) -> None:
    daemon = make("exit")
    eventually(lambda: info(daemon, "exit").retries)
    words = [sys.executable, "-m", "meshd_core.cli", "sinks", "--runtime-dir", str(daemon.runtime)]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=30, env=os.environ)
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["NAME", "PLUGIN", "STATUS", "QUEUED", "SENT", "DROPPED", "REJECTED", "LAST", "ERROR"]
    assert lines[1].split()[:3] == ["kept", "keep", "ok"]
    assert "it raised SystemExit" in lines[2]
    as_json = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=30, env=os.environ)
    assert [sink["name"] for sink in json.loads(as_json.stdout)["sinks"]] == ["kept", "exit"]


def test_a_reload_adds_changes_and_removes_sinks_while_the_others_go_on(
    make: Callable[..., DaemonProcess], short_tmp: Path, eventually: Any
) -> None:
    daemon = make("exit")
    eventually(lambda: info(daemon, "kept").sent > 2)
    text = daemon.config.read_text()
    other = text.partition("[sinks.kept]")[0] + sections(short_tmp) + sections(short_tmp).replace("kept", "more")
    daemon.config.write_text(other)
    daemon.call("POST", "/reload")
    eventually(lambda: info(daemon, "more").sent >= 2)
    assert [sink.name for sink in daemon.get("/sinks", SinkList).sinks] == ["kept", "more"]
    more = [json.loads(line)["data"]["type"] for line in (short_tmp / "more.jsonl").read_text().splitlines()]
    assert set(more[:2]) == {"node", "slot"}, "the new one knows every slot"
    told = lambda: [event["data"]["event"] for event in kept(short_tmp) if event["data"]["type"] == "node"]  # noqa: E731
    eventually(lambda: told() == ["up", "reloaded"], what=told)
