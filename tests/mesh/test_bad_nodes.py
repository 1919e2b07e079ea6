"""What a bad node in the table costs: its name in /mesh/nodes, and nothing else."""

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import MeshSlots
from tests.mesh.network import missing
from tests.mesh.three_nodes import Nodes, entry, three_nodes

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.timeout(300),
]

SAID = {
    "hole": "no connection in time",
    "garbage": "does not answer as HTTP should",
    "liar": "its name is 'somebody-else'",
    "slow": "no answer in time",
    "redirect": "redirects are not followed",
    "flood": "",  # says rightly who it is
}
OUTCOMES = {
    "hole": "unreachable", "garbage": "garbage", "liar": "wrong_name", "slow": "unreachable", "redirect": "garbage",
    "flood": "garbage",
}  # fmt: skip
CALLS, ROUNDS = 400, 3


@contextmanager
def bad_peers(address: str) -> Iterator[dict[str, int]]:
    script = Path(__file__).with_name("bad_peers.py")
    process = subprocess.Popen([sys.executable, str(script), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        ports: dict[str, int] = json.loads(process.stdout.readline())
        yield ports
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def test_each_bad_node_is_named_and_costs_local_calls_nothing() -> None:
    with three_nodes() as nodes, bad_peers(nodes.net.here) as ports:
        near = nodes["mac1"]
        (nodes.root / "mac1" / "bad.token").write_text("meshd_aaaaaaaa_" + "x" * 43)
        (nodes.root / "mac1" / "bad.token").chmod(0o600)
        hole = nodes.net.black_hole(nodes.namespaces["mac1"])
        urls = {"hole": f"http://{hole}:9451", **{name: f"http://{nodes.net.here}:{ports[name]}" for name in ports}}
        entries = [entry(name, url, "bad.token") for name, url in urls.items()]
        measured: dict[str, list[float]] = {"good": [], "bad": []}
        near.wait_for("s1", "idle")
        for turn in range(ROUNDS):
            with asking(near, ["/mesh/slots", "/slots/s1@mac2", "/slots/s1@mac3"]):
                measured["good"].append(p99(near))
            nodes.know("mac1", *entries)
            with asking(near, ["/mesh/slots", *(f"/slots/s1@{name}" for name in urls)]):
                measured["bad"].append(p99(near))
                if turn == 0:
                    named(nodes)
            nodes.forget_extras("mac1")
        print(f"p99 of local calls, ms: {measured}")
        good, bad = (statistics.median(measured[kind]) for kind in ("good", "bad"))
        assert bad <= 2 * good + 10, measured
        assert memory_mb(near.pid) < 200


def named(nodes: Nodes) -> None:
    """Every bad node is in the table with its reason, its slots are told as missing, and calls for them say so."""
    near = nodes["mac1"]
    eventually(lambda: all(SAID[name] in (nodes.peers("mac1")[name].error or "") for name in SAID))
    peers = nodes.peers("mac1")
    assert [name for name, peer in peers.items() if peer.reachable][:3] == ["mac1", "mac2", "mac3"]
    assert not any(peers[name].reachable for name in SAID if name != "flood")
    began = time.monotonic()
    found = near.get("/mesh/slots", MeshSlots)
    assert time.monotonic() - began < 10
    assert len(found.slots) == 15
    outcomes = {node.node: node.outcome for node in found.nodes}
    assert outcomes == {"mac1": "ok", "mac2": "ok", "mac3": "ok", **OUTCOMES}
    for name in SAID:
        status, body = near.exchange("GET", f"/slots/s1@{name}")
        assert status in (502, 504) and name.encode() in body, (name, body)


@contextmanager
def asking(near: DaemonProcess, paths: list[str]) -> Iterator[None]:
    """Clients that ask for each of these again and again meanwhile."""
    stop = threading.Event()

    def ask(path: str) -> None:
        while not stop.wait(0.1):
            near.exchange("GET", path)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def p99(near: DaemonProcess) -> float:
    """The 99th percentile of local calls over one connection, in milliseconds."""
    connection = http.client.HTTPConnection(near.address, near.port, timeout=30)
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        connection.request("GET", "/slots/s1", headers={"Authorization": f"Bearer {near.token}"})
        assert connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    connection.close()
    return statistics.quantiles(took, n=100)[98]


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def eventually(holds: Callable[[], bool], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
