"""What a scrape of a real daemon gives, judged by Prometheus' own parser, and by promtool where it is installed."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from meshd_core.testing.daemon import DaemonProcess

SLOTS = """
[[slots]]
name = "demo"
kind = "demo"

[[slots]]
name = "idle"
kind = "demo"
autostart = false

[[nodes]]
name = "far"
url = "http://127.0.0.1:9"
token = { env = "FAR_TOKEN" }
"""


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp, SLOTS, {"FAR_TOKEN": "meshd_00000000_" + "x" * 43}) as daemon:
        daemon.wait_for("demo", "idle")
        yield daemon


def scrape(daemon: DaemonProcess) -> dict[str, Metric]:
    text = daemon.call("GET", "/metrics").decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    family = found.get(name) or found[name.removesuffix("_total")]
    matches = [one.value for one in family.samples if one.name == name and labels.items() <= one.labels.items()]
    assert len(matches) == 1, (name, labels, family.samples)
    return float(matches[0])


def test_a_scrape_tells_what_happened(daemon: DaemonProcess) -> None:
    before = scrape(daemon)
    daemon.inject("demo", "hello")
    daemon.exchange("GET", "/slots", headers={"Authorization": "Bearer wrong"})
    found = scrape(daemon)
    assert value(found, "meshd_slot_status", slot="demo", status="running") == 1
    assert value(found, "meshd_slot_status", slot="idle", status="running") == 0
    assert value(found, "meshd_slot_activity", slot="demo", activity="idle") == 1
    assert value(found, "meshd_slot_injects_total", slot="demo") == 1
    assert value(found, "meshd_slot_queued_injects", slot="demo") == 0
    assert value(found, "meshd_slot_lines_total", slot="demo", kind="demo") > 0
    read = [value(each, "meshd_slot_read_bytes_total", slot="demo") for each in (before, found)]
    assert read[0] < read[1]
    assert value(found, "meshd_http_requests_total") > value(before, "meshd_http_requests_total")
    assert value(found, "meshd_http_auth_failures_total") == value(before, "meshd_http_auth_failures_total") + 1
    assert value(found, "meshd_peer_up", peer="far") == 0
    assert value(found, "meshd_plugin_up", plugin="prometheus") == 1
    assert value(found, "process_resident_memory_bytes") > 1e6
    assert value(found, "meshd_build_info", node="test") == 1


def test_names_types_and_help_follow_the_conventions(daemon: DaemonProcess) -> None:
    found = scrape(daemon)
    for name, family in found.items():
        assert family.documentation, name
        assert family.type in ("gauge", "counter"), name
        assert re.fullmatch(r"(meshd|process)_[a-z][a-z_]*[a-z]", name), name
        assert not re.search(r"_(ms|mb|kb|kib|percent)$", name), name
        assert len({tuple(sorted(sample.labels)) for sample in family.samples}) <= 1, name
    assert len(scrape(daemon)) == len(found)


def test_metrics_are_also_where_every_route_of_the_plugin_is_and_in_the_contract(daemon: DaemonProcess) -> None:
    assert daemon.exchange("GET", "/x/prometheus/metrics")[0] == 200
    assert b'"/metrics"' in daemon.call("GET", "/openapi.json")


def test_nothing_is_told_without_a_token_or_to_a_token_for_some_slots(daemon: DaemonProcess) -> None:
    assert daemon.exchange("GET", "/metrics", headers={"Authorization": "Bearer wrong"})[0] == 401
    answer = daemon.call("POST", "/tokens", {"scope": "read", "slots": ["demo"]})
    limited = re.search(rb'"token":"([^"]+)"', answer)
    assert limited is not None
    status, body = daemon.exchange("GET", "/metrics", headers={"Authorization": f"Bearer {limited[1].decode()}"})
    assert (status, b"meshd_" in body) == (403, False)
    assert daemon.exchange("POST", "/metrics", {})[0] == 405


def test_no_text_of_an_agent_and_no_secret_is_in_a_label(daemon: DaemonProcess) -> None:
    daemon.inject("demo", "a-very-special-word")
    text = daemon.call("GET", "/metrics").decode()
    assert "special" not in text
    assert daemon.token not in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
def test_promtool_finds_nothing_to_say(daemon: DaemonProcess) -> None:
    text = daemon.call("GET", "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
