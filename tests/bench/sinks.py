"""What a fleet sink costs a slot: a prompt's way to a line, beside a receiver that hangs, one that works, and none."""

import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess
from tests.bench.latency import PAUSE_S, MeshdAgent

ROUNDS = 1000
SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'
AT_ONCE = "delivery = { batch_wait_s = 0.0 }\n"
"""Each event is a batch of its own: the most that a sink can cost."""


class SinkCost(Struct):
    """Microseconds from a prompt's first byte to its line, without a sink and beside each of two."""

    none_p50_us: float
    none_p99_us: float
    hanging_p50_us: float
    hanging_p99_us: float
    working_p50_us: float
    working_p99_us: float

    @property
    def ratio(self) -> float:
        """With the hanging receiver, p99."""
        return self.hanging_p99_us / self.none_p99_us


def measure(folder: Path, rounds: int = ROUNDS) -> SinkCost:
    """Three daemons in turns, so that whatever else the machine does falls on all."""
    with ExitStack() as stack:
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))  # connects, never answers
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        sections = (
            "",
            f'[sinks.hanging]\nplugin = "webhook"\nurl = "{url}"\n{AT_ONCE}',
            f'[sinks.working]\nplugin = "jsonl"\n{AT_ONCE}',
        )
        agents = [_agent(stack, folder / str(number), text) for number, text in enumerate(sections)]
        times: list[list[float]] = [[] for _ in agents]
        for number in range(rounds):
            for kept, agent in zip(times, agents, strict=True):
                kept.append(agent.round_trip(f"round {number}"))
                time.sleep(PAUSE_S)
    return SinkCost(*(figure for kept in times for figure in (statistics.median(kept) * 1e6, _p99(kept))))


def _agent(stack: ExitStack, folder: Path, sinks: str) -> MeshdAgent:
    folder.mkdir()
    daemon = stack.enter_context(DaemonProcess(folder, SLOT + sinks))
    daemon.wait_for("demo", "idle")
    agent = MeshdAgent(daemon)
    stack.callback(agent.close)
    return agent


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98] * 1e6
