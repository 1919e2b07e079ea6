"""300 dispatches while nodes are killed: each prompt is typed once at most, and its receipt says so rightly."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import ENDS, BroadcastAnswer, Receipt
from tests.mesh.network import missing
from tests.mesh.three_nodes import NAMES, SLOTS_EACH, Nodes, three_nodes

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.timeout(400),
]

JOBS = 300
CALLERS = 6
SLOTS = [f"s{number}@{name}" for name in NAMES for number in range(1, SLOTS_EACH + 1)]
TYPED = frozenset({"submitted", "completed"})
MAYBE = frozenset({"agent_exited", "daemon_died", "agent_not_reading", "terminal_lost"})
"""Why a prompt that began to be typed may have failed: an agent may have it or not."""


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with three_nodes() as found:
        yield found


class Killer(threading.Thread):
    """Kills one node after another with -9 and starts it again, until told to stop."""

    def __init__(self, nodes: Nodes, chance: random.Random) -> None:
        super().__init__(name="killer")
        self._nodes, self._chance = nodes, chance
        self.over = threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self.over.wait(self._chance.uniform(0.2, 1.0)):
            daemon = self._nodes[self._chance.choice(NAMES)]
            daemon.kill()
            self.kills += 1
            self.over.wait(self._chance.uniform(0.0, 0.6))
            daemon.start()


class Caller(threading.Thread):
    """Gives its jobs to the mesh, each until it has an answer; the same key each time, so that asking is safe."""

    def __init__(self, nodes: Nodes, jobs: range, chance: random.Random) -> None:
        super().__init__(name=f"jobs {jobs}")
        self._nodes, self._jobs, self._chance = nodes, jobs, chance
        self.receipts: dict[str, Receipt] = {}
        self.refused: dict[str, str] = {}

    def run(self) -> None:
        for job in self._jobs:
            text = f"job {job}"
            body: dict[str, Any] = {"text": text, "until": "submitted", "timeout_s": 5}
            path = "/mesh/inject"
            if job % 3 == 0:
                path = f"/inject/{self._chance.choice(SLOTS)}"
            else:
                body |= {"when": "idle", "select": {"kind": "demo", "labels": {"team": f"t{job % 2}"}}}
            time.sleep(self._chance.uniform(0.4, 1.2))  # so that the kills come in the midst of the work
            answer = self._ask(self._chance.choice(NAMES), path, body, {"Idempotency-Key": f"key-{job}"})
            if isinstance(answer, Receipt):
                self.receipts[text] = answer
            else:
                self.refused[text] = answer

    def _ask(self, entry: str, path: str, body: object, headers: dict[str, str]) -> Receipt | str:
        deadline = time.monotonic() + 60
        while True:
            try:
                return msgspec.json.decode(self._nodes[entry].call("POST", path, body, 30, headers), type=Receipt)
            except HttpFailure as failure:
                return failure.code
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, f"node {entry} does not come back"
                time.sleep(0.1)  # the entry node itself is away: ask it again once it is back


def typed(nodes: Nodes) -> Counter[str]:
    """How often each text reached an agent, by the agents' own logs."""
    found: Counter[str] = Counter()
    for address in SLOTS:
        log = nodes.log_of(address)
        if log.exists():
            found.update(json.loads(line)["text"] for line in log.read_text().splitlines())
    return found


def settled(nodes: Nodes, entry: str, receipt: Receipt) -> Receipt:
    """The receipt at its end, asked of any node."""
    deadline = time.monotonic() + 90
    while receipt.stage not in ENDS and not receipt.capped:
        assert time.monotonic() < deadline, receipt
        time.sleep(0.1)
        receipt = nodes[entry].get(f"/injects/{receipt.id}", Receipt)
    return receipt


def test_each_prompt_is_typed_once_at_most_and_its_receipt_is_true(nodes: Nodes) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    killer = Killer(nodes, chance)
    share = JOBS // CALLERS
    callers = [Caller(nodes, range(number * share, (number + 1) * share), chance) for number in range(CALLERS)]
    killer.start()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    killer.over.set()
    killer.join()
    receipts = {text: receipt for caller in callers for text, receipt in caller.receipts.items()}
    refused = {text: code for caller in callers for text, code in caller.refused.items()}
    assert len(receipts) + len(refused) == JOBS
    ends = {text: settled(nodes, chance.choice(NAMES), receipt) for text, receipt in receipts.items()}
    times = typed(nodes)
    facts = f"seed {seed}, {killer.kills} kills, ends {Counter(r.stage for r in ends.values())}, refused {refused}"
    print(facts)
    assert killer.kills >= 8, facts
    assert not {text: count for text, count in times.items() if count > 1}, facts
    for text, receipt in ends.items():
        code = receipt.error.code if receipt.error else None
        if receipt.stage in TYPED:
            assert times[text] == 1, (text, receipt, facts)
        elif receipt.stage != "unknown" and code not in MAYBE:
            assert times[text] == 0, (text, receipt, facts)
    assert not [text for text in refused if times[text]], facts
    assert sum(times.values()) > JOBS / 2, facts


def test_a_broadcast_reaches_every_slot_and_names_the_nodes_that_are_away(nodes: Nodes) -> None:
    for address in SLOTS:
        name, _, node = address.partition("@")
        nodes[node].wait_for(name, "idle")
    body = {"text": "to all", "until": "completed", "select": {"kind": "demo"}}
    found = msgspec.json.decode(nodes["mac1"].call("POST", "/mesh/broadcast", body), type=BroadcastAnswer)
    assert {f"{receipt.slot}@{receipt.node}" for receipt in found.receipts} == set(SLOTS)
    assert {receipt.stage for receipt in found.receipts} == {"completed"}
    assert typed(nodes)["to all"] == len(SLOTS)
    nodes["mac3"].kill()
    found = msgspec.json.decode(
        nodes["mac1"].call("POST", "/mesh/broadcast", body | {"text": "again"}), type=BroadcastAnswer
    )
    assert len(found.receipts) == 2 * SLOTS_EACH
    assert {node.node: node.outcome for node in found.nodes} == {"mac1": "ok", "mac2": "ok", "mac3": "stale"}
    assert {failure.code for failure in found.failures} <= {"peer_error", "peer_timeout"}
    nodes["mac3"].start()
