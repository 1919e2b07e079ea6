"""What real agent CLIs cost: one that works with a reader of its lines, and 50 that do nothing.

The daemon reads the terminals itself; the keeper only holds them, and is told apart to show it. CPU time hardly depends
on what else the machine does; that is told all the same.
"""

import os
import socket
import threading
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from msgspec import Struct

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.model_backend import ModelBackend
from meshd_core.types import SlotDetail
from tests.agents.slots import PINS, agent_slot
from tests.bench import line_delay
from tests.bench.crowd import open_stream
from tests.bench.fanout import cpu_seconds

BUSY_S = 30.0
FIRST_S = 3.0
"""Of a turn, which are not measured: the prompt, and what an agent does at the beginning of one."""
IDLE_SLOTS = 50
CALM_S = 30.0
"""After the last agent is idle, before it is measured: some go on loading."""
WATCHED_S = 60.0
START_S = 180.0
SPARE_MIB = 3072


class Busy(Struct):
    """`daemon_percent` and `keeper_percent` are of one core; the delays are those of `line_delay`."""

    agent: str
    version: str
    daemon_percent: float
    keeper_percent: float
    bytes_per_s: float
    read_bytes: int
    """By the reader of the stream."""
    line_p50_s: float
    line_p95_s: float
    lines: int
    load: float
    """Of the machine: how many processes wanted a core, on average of the last minute."""


class Idle(Struct):
    slots: int
    agents: dict[str, int]
    daemon_percent: float
    keeper_percent: float
    load: float


class Agents(Struct):
    busy: list[Busy]
    idle: Idle


def measure(folder: Path, agents: Sequence[str]) -> Agents:
    """Each of `agents` at work, one after the other; then 50 of them in turns, all at once."""
    busy = []
    for agent in agents:
        (folder / agent).mkdir()
        busy.append(_busy(folder / agent, agent))
    (folder / "idle").mkdir()
    return Agents(busy, _idle(folder / "idle", agents))


def lines(found: Agents) -> list[str]:
    """For people: each figure with its bound."""
    told = [
        f"{one.agent} {one.version} at work ({one.bytes_per_s:.0f} bytes/s, one reader):"
        f" {one.daemon_percent + one.keeper_percent:.2f} % of a core (at most 2), of it the keeper"
        f" {one.keeper_percent:.2f} %; a line from the screen to the stream: p50 {one.line_p50_s:.2f} s,"
        f" p95 {one.line_p95_s:.2f} s of {one.lines} (at most 0.5); load {one.load:.1f}"
        for one in found.busy
    ]
    quiet = found.idle
    which = ", ".join(f"{count} {agent}" for agent, count in quiet.agents.items())
    return [
        *told,
        f"{quiet.slots} idle agents ({which}): {quiet.daemon_percent + quiet.keeper_percent:.2f} % of a core"
        f" (at most 1), of it the keeper {quiet.keeper_percent:.2f} %; load {quiet.load:.1f}",
    ]


def _busy(folder: Path, agent: str) -> Busy:
    with (
        ModelBackend(folder / "model.jsonl") as backend,
        DaemonProcess(folder, agent_slot(agent, PINS[agent], folder, backend.url)) as daemon,
    ):
        pids = daemon.pid, _keeper(daemon, agent)
        delays = line_delay.measure(daemon, agent)
        stream = open_stream(daemon, slot=agent)
        read = _Counter(stream)
        daemon.inject(agent, f"SLOW{BUSY_S + 3 * FIRST_S:.0f}", until="submitted")
        time.sleep(FIRST_S)
        before, bytes_before = _spent(pids), _bytes_read(daemon, agent)
        began = time.monotonic()
        time.sleep(BUSY_S)
        took = time.monotonic() - began
        spent = _spent(pids)
        slot = daemon.get(f"/slots/{agent}", SlotDetail)
        if slot.activity.state != "busy":
            raise RuntimeError(f"{agent} was to be busy, and is {slot.activity.state}")
        bytes_per_s = (slot.counters.bytes_read - bytes_before) / took
        stream.close()
        daemon_percent, keeper_percent = ((now - then) / took * 100 for now, then in zip(spent, before, strict=True))
        return Busy(
            agent, PINS[agent].version, daemon_percent, keeper_percent, bytes_per_s, read.bytes,
            delays.p50_s, delays.p95_s, delays.lines, os.getloadavg()[0],
        )  # fmt: skip


def _idle(folder: Path, agents: Sequence[str]) -> Idle:
    names = [f"{agent}-{number}" for number, agent in enumerate(islice(cycle(agents), IDLE_SLOTS))]
    with ModelBackend(folder / "model.jsonl") as backend:
        slots = [
            agent_slot(agent, PINS[agent], folder / name, backend.url, name).replace(
                "[[slots]]\n", "[[slots]]\nautostart = false\n"
            )
            for agent, name in zip(cycle(agents), names, strict=False)
        ]
        with DaemonProcess(folder, "".join(slots)) as daemon:
            for name in names:
                if _available_mib() < SPARE_MIB:
                    raise RuntimeError(f"no memory for {name}: fewer of these agents fit on this machine")
                daemon.call("POST", f"/start/{name}", {})
                slot = daemon.wait_for(name, "idle", START_S)
                if slot.activity.state != "idle":
                    raise RuntimeError(f"{name} is {slot.activity.state} after {START_S:g} s")
            time.sleep(CALM_S)
            pids = daemon.pid, _keeper(daemon, names[0])
            before = _spent(pids)
            time.sleep(WATCHED_S)
            spent = [(now - then) / WATCHED_S * 100 for now, then in zip(_spent(pids), before, strict=True)]
            counts = {agent: sum(name.startswith(f"{agent}-") for name in names) for agent in agents}
            return Idle(len(names), counts, spent[0], spent[1], os.getloadavg()[0])


class _Counter:
    """Takes what comes on a stream, in a thread that ends with it."""

    def __init__(self, stream: socket.socket) -> None:
        self.bytes = 0
        self._stream = stream
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._stream.settimeout(None)
        try:
            while data := self._stream.recv(65536):
                self.bytes += len(data)
        except OSError:
            return


def _keeper(daemon: DaemonProcess, slot: str) -> int:
    """The process that holds the terminals: the agents' parent."""
    pid = daemon.wait_for(slot, "idle", START_S).pid
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _spent(pids: Sequence[int]) -> list[float]:
    return [cpu_seconds(pid) for pid in pids]


def _bytes_read(daemon: DaemonProcess, slot: str) -> int:
    return daemon.get(f"/slots/{slot}", SlotDetail).counters.bytes_read


def _available_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise ValueError("/proc/meminfo has no MemAvailable")
