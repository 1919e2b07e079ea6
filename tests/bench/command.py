"""How long a person waits for `meshd ls`."""

import os
import statistics
import subprocess
import sys
import time

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess

ROUNDS = 15


class Command(Struct):
    ls_ms: float
    python_ms: float
    """The same interpreter doing nothing: the floor."""


def measure(daemon: DaemonProcess) -> Command:
    """Medians, the two in turns."""
    env = {**os.environ, "MESHD_RUNTIME_DIR": str(daemon.runtime)}
    commands = [sys.executable, "-m", "meshd_core.cli", "ls"], [sys.executable, "-c", "pass"]
    times: tuple[list[float], list[float]] = [], []
    for _ in range(ROUNDS):
        for words, kept in zip(commands, times, strict=True):
            began = time.perf_counter()
            subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
            kept.append((time.perf_counter() - began) * 1000)
    return Command(*(statistics.median(kept) for kept in times))
