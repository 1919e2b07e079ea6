"""Output filters of an installed plugin, in their order, on every surface that shows an agent's text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import PluginList, Screen, SlotDetail

PLUGIN = """
import re
from meshd_core.api import FilterStream, OutputFilter, hookimpl

class Swap(OutputFilter):
    def __init__(self, name, old, new):
        self.name, self.old, self.new = name, old, new
    def block(self, text):
        return text.replace(self.old, self.new)
    def open(self, slot):
        swap = self
        class Stream(FilterStream):
            def feed(self, line):
                return (swap.block(line),)
        return Stream()

class Failing(OutputFilter):
    name = "failing"
    def block(self, text):
        raise RuntimeError("secret-word leaked by an error")
    def open(self, slot):
        raise RuntimeError("cannot open")

@hookimpl
def meshd_output_filters(ctx):
    return [Swap("first", "secret-word", "[first]"), Swap("second", "[first]", "[second]"), Failing()]
"""


@pytest.fixture
def daemon(short_tmp: Path, request: pytest.FixtureRequest) -> Iterator[DaemonProcess]:
    site = short_tmp / "site"
    info = site / "swapper-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "swapper.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swapper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nswapper = swapper\n")
    slots = f'[[slots]]\nname = "demo"\nkind = "demo"\nfilters = {request.param}\n'
    with DaemonProcess(short_tmp, slots, {"PYTHONPATH": str(site)}) as daemon:
        daemon.wait_for("demo", "idle")
        yield daemon


@pytest.mark.parametrize("daemon", ['["first", "second"]'], indirect=True)
def test_every_surface_shows_what_the_filters_let_through_in_their_order(daemon: DaemonProcess, stream: Any) -> None:
    receipt = daemon.inject("demo", "tell the secret-word")
    assert receipt.reply == "echo: tell the [second]"
    assert "echo: tell the [second]" in daemon.lines("demo")
    assert any("[second]" in row for row in daemon.get("/screen/demo", Screen).rows)
    daemon.kill()
    daemon.start()
    everything = b"".join(
        daemon.call("GET", path)
        for path in ("/slots", "/slots/demo", "/screen/demo", "/output/demo?since=oldest", f"/injects/{receipt.id}")
    )
    assert b"secret-word" not in everything
    assert b"[first]" not in everything
    plugins = {plugin.name: plugin for plugin in daemon.get("/plugins", PluginList).plugins}
    assert plugins["swapper"].status == "active"


@pytest.mark.parametrize("daemon", ['["first", "failing"]'], indirect=True)
def test_a_filter_that_fails_withholds_and_never_leaks(daemon: DaemonProcess) -> None:
    receipt = daemon.inject("demo", "tell the secret-word")
    assert receipt.stage == "completed"
    withheld = "[output withheld: filter 'failing' failed]"
    assert daemon.lines("demo") == [withheld]
    assert daemon.get("/screen/demo", Screen).rows == [withheld]
    assert daemon.get("/slots/demo", SlotDetail).counters.filter_errors > 0
    said = daemon.log.read_bytes() + daemon.call("GET", "/slots/demo") + (receipt.reply or "").encode()
    assert b"secret-word" not in said
