"""docs/sinks.md: its configurations are valid, its tables are those of the types, its example of a sink works."""

import re
import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.cli.local import local_view
from meshd_core.config.check import CheckedSink, check_against
from meshd_core.config.model import DeliverySection
from meshd_core.contracts import events
from meshd_core.contracts.sinks import SinkContext, SinkPaused
from meshd_core.fleet.fleet import HEARTBEAT_S
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.sinks import EventMaker
from tests.docs.markdown import Page, rows

OURS = ("jsonl", "webhook", "supabase")


@pytest.fixture
def page(pages: dict[str, Page]) -> Page:
    return pages["docs/sinks.md"]


def checked(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CheckedSink, ...]:
    """The sinks of a configuration whose secrets exist."""
    for name in re.findall(r'file = "([^"]+)"', text):
        (folder / name).write_text("x")
        (folder / name).chmod(0o600)
    for name in re.findall(r'env = "([^"]+)"', text):
        monkeypatch.setenv(name, "x")
    (folder / "meshd.toml").write_text(text)
    view = local_view(folder / "meshd.toml", folder / "state")
    found = check_against(view.loaded, view.host)
    assert not found.warnings
    return found.sinks


@pytest.fixture
def installed() -> None:
    missing = [name for name in OURS if name not in local_view().host.sinks]
    if missing:
        pytest.skip(f"these plugins of the repository are not installed: {', '.join(missing)}")


@pytest.mark.usefixtures("installed")
def test_every_configuration_on_the_page_is_valid(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = page.code("toml")
    assert len(blocks) >= 5
    for text in blocks:
        assert all(sink.unavailable is None for sink in checked(text, tmp_path, monkeypatch))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("plugin", OURS)
def test_every_option_of_a_sink_is_on_the_page_and_in_its_readme(pages: dict[str, Page], plugin: str) -> None:
    kind = local_view().host.sinks[plugin].options_type()
    assert kind is not None
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    shown = "\n".join(pages["docs/sinks.md"].code("toml", plugin))
    assert {name for name in names if not re.search(rf"^{name} = ", shown, re.MULTILINE)} == set()
    listed = pages[f"plugins/meshd-{plugin}/README.md"].text
    assert {name for name in names if f"| `{name}` |" not in listed} == set()


def test_the_delivery_shown_is_the_default_and_complete(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = [block for block in page.code("toml", "Delivery") if "delivery" in block]
    assert checked(text, tmp_path, monkeypatch)[0].delivery == DeliverySection()
    assert all(f"{field.name} = " in text for field in msgspec.structs.fields(DeliverySection))


def test_the_tables_of_events_are_those_of_the_types(page: Page) -> None:
    found = [row[0] for row in rows(page.section("Events"))]
    keys = {key.strip("`, ") for row in found for key in row.split("`") if key.strip("`, ")}
    data = {kind.__struct_config__.tag for kind in events.EventData.__args__}
    assert keys == {field.name for field in msgspec.structs.fields(events.FleetEvent)} | data
    assert f"every {HEARTBEAT_S:g} s" in page.section("Events")


@pytest.mark.anyio
async def test_the_example_of_a_sink_works(page: Page, short_tmp: Path) -> None:
    module: Any = types.ModuleType("syslog_sink")
    exec(compile(page.code("python", "Writing one")[0], "docs/sinks.md", "exec"), module.__dict__)
    (sink,) = module.meshd_fleet_sinks(None)
    path = short_tmp / "log"
    options = msgspec.convert({"path": str(path)}, sink.options_type())
    connection = sink.open(SinkContext("s", "mac1", "b", options, short_tmp, lambda ref: ""))
    event = EventMaker().heartbeat()
    with pytest.raises(SinkPaused, match="is not there"):
        await connection.send([event])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        await connection.send([event])
        assert event.id.encode() in listener.recv(65536)
    await connection.close()


@pytest.mark.usefixtures("installed")
def test_the_first_example_runs(page: Page, short_tmp: Path) -> None:
    with DaemonProcess(short_tmp, page.code("toml")[0]) as daemon:
        daemon.inject("demo", "hello")
        words = [sys.executable, "-m", "meshd_core.cli", "sinks", "--runtime-dir", str(daemon.runtime)]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=30).stdout.splitlines()
    example = page.code("console")[0].splitlines()
    assert example[0] == "$ meshd sinks"
    assert shown[0] == example[1]
    assert shown[1].split()[:3] == example[2].split()[:3]
    lines = (short_tmp / "state" / "sinks" / "log" / "events.jsonl").read_bytes().splitlines()
    kept = [msgspec.json.decode(line, type=events.FleetEvent) for line in lines]
    assert {event.type for event in kept} >= {"node", "slot", "inject"}
    assert [event.seq for event in kept] == sorted(event.seq for event in kept)
