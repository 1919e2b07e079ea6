"""What slots cost while nothing happens."""

import time
from pathlib import Path

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess
from tests.bench.crowd import resident_kib
from tests.bench.fanout import cpu_seconds

SLOTS = 50
WATCHED_S = 20.0


class Idle(Struct):
    slots: int
    memory_mib: float
    """The daemon's resident memory."""
    allowed_mib: float
    cpu_percent: float
    """Of one core."""


def measure(folder: Path) -> Idle:
    """A daemon of its own with 50 idle demo agents."""
    slots = "".join(f'[[slots]]\nname = "s{number}"\nkind = "demo"\n' for number in range(SLOTS))
    with DaemonProcess(folder, slots) as daemon:
        for number in range(SLOTS):
            daemon.wait_for(f"s{number}", "idle")
            daemon.inject(f"s{number}", "lines 200 0")
        time.sleep(3)  # what the start left to do
        before = cpu_seconds(daemon.pid)
        time.sleep(WATCHED_S)
        spent = cpu_seconds(daemon.pid) - before
        return Idle(SLOTS, resident_kib(daemon.pid) / 1024, 60 + 3 * SLOTS, spent / WATCHED_S * 100)
