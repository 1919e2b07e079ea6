"""Run all benchmarks: `make bench`, or `python -m tests.bench [--json]`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from meshd_core.testing.daemon import DaemonProcess
from tests.bench import fanout, latency, sinks

SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure meshd against the floors that the documentation names.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mb-"))
    try:
        with DaemonProcess(folder, SLOT) as daemon:
            daemon.wait_for("demo", "idle")
            took = latency.measure(daemon)
            cost = fanout.measure(daemon)
        beside = sinks.measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        sys.stdout.write(msgspec.json.encode({"latency": took, "fanout": cost, "sinks": beside}).decode() + "\n")
        return
    print(
        f"inject -> line on a stream: p50 {took.meshd_us:.0f} us; the same agent on a bare PTY: {took.bare_us:.0f} us;"
        f" ratio {took.ratio:.1f} (at most 12)"
    )
    print(
        f"a line for one of {cost.readers} readers at {cost.lines_per_s} lines/s: {cost.cpu_us:.1f} us of daemon CPU"
        f" (at most 5); delivered {cost.delivered} of {cost.expected}"
    )
    print(
        f"inject -> line, p99: {beside.none_p99_us:.0f} us; beside a sink whose receiver hangs:"
        f" {beside.hanging_p99_us:.0f} us; ratio {beside.ratio:.2f} (at most 1.2);"
        f" beside one that works: {beside.working_p99_us:.0f} us"
    )


if __name__ == "__main__":
    main()
