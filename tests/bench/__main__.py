"""Run the benchmarks: `make bench`, or `python -m tests.bench [--json] [--agents=all]`."""

import argparse
import shutil
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess
from tests.agents.slots import PINS
from tests.bench import agents, command, crowd, fanout, idle, latency, sinks

SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'


class Found(Struct):
    command: command.Command
    latency: latency.Latency
    fanout: fanout.Fanout
    crowd: crowd.Crowd
    sinks: sinks.SinkCost
    idle: idle.Idle


def measure(folder: Path) -> Found:
    """All of them, one after the other."""
    with DaemonProcess(folder, SLOT) as daemon:
        daemon.wait_for("demo", "idle")
        quick = command.measure(daemon)
        took, cost, many = latency.measure(daemon), fanout.measure(daemon), crowd.measure(daemon)
    (folder / "idle").mkdir()
    return Found(quick, took, cost, many, sinks.measure(folder), idle.measure(folder / "idle"))


def lines(found: Found) -> list[str]:
    """For people: each figure with its bound."""
    took, cost, many, beside, quiet = found.latency, found.fanout, found.crowd, found.sinks, found.idle
    return [
        f"meshd ls: {found.command.ls_ms:.0f} ms (at most 200); python alone: {found.command.python_ms:.0f} ms",
        f"inject -> line on a stream: p50 {took.meshd_us:.0f} us; the same agent on a bare PTY: {took.bare_us:.0f} us;"
        f" ratio {took.ratio:.1f} (at most 12)",
        f"a line for one of {cost.readers} readers at {cost.lines_per_s} lines/s: {cost.cpu_us:.1f} us of daemon CPU"
        f" (at most 5); delivered {cost.delivered} of {cost.expected}",
        f"{many.readers} readers of one slot: {many.memory_mib:.0f} MiB more (at most 40), delivered"
        f" {many.delivered} of {many.expected}; a stalled one: {many.stalled_kib:.0f} KiB (at most 64);"
        f" /health meanwhile: p99 {many.health_p99_ms:.1f} ms (at most 50)",
        f"inject -> line, p99: {beside.none_p99_us:.0f} us; beside a sink whose receiver hangs:"
        f" {beside.hanging_p99_us:.0f} us; ratio {beside.ratio:.2f} (at most 1.2);"
        f" beside one that works: {beside.working_p99_us:.0f} us",
        f"{quiet.slots} idle slots: {quiet.memory_mib:.0f} MiB (at most {quiet.allowed_mib:.0f}),"
        f" {quiet.cpu_percent:.2f} % of a core (at most 1)",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure meshd against the floors that the documentation names.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.add_argument("--agents", help="measure real agent CLIs instead, e.g. claude,codex; `all` measures all")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mb-"))
    found: Found | agents.Agents
    try:
        if options.agents is None:
            found = measure(folder)
            told = lines(found)
        else:
            found = agents.measure(folder, list(PINS) if options.agents == "all" else options.agents.split(","))
            told = agents.lines(found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(msgspec.json.encode(found).decode() if options.json else "\n".join(told))


if __name__ == "__main__":
    main()
