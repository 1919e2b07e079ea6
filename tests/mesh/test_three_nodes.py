"""Three daemons on three machines: every slot from every node, and a stream that outlives a kill -9 of the far one."""

import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from meshd_core.client import MeshdClient
from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import Line, MeshSlots, MessagePage, OutputPage, Receipt, Screen, SlotDetail
from tests.mesh.network import missing
from tests.mesh.three_nodes import NAMES, SLOTS_EACH, Nodes, three_nodes

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with three_nodes({"mac3": "approve"}) as found:
        yield found


def eventually(holds: Callable[[], bool], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def all_reachable(nodes: Nodes, name: str) -> bool:
    return all(peer.reachable for peer in nodes.peers(name).values())


def test_all_slots_are_seen_from_any_node(nodes: Nodes) -> None:
    wanted = {f"s{number}@{name}" for name in NAMES for number in range(1, SLOTS_EACH + 1)}
    for name in NAMES:
        eventually(lambda name=name: all_reachable(nodes, name))  # type: ignore[misc]
        found = nodes[name].get("/mesh/slots", MeshSlots)
        assert {slot.address for slot in found.slots} == wanted
        assert len(found.slots) == 15
        assert [node.outcome for node in found.nodes] == ["ok"] * 3


def test_everything_that_can_be_read_is_read_through_a_node(nodes: Nodes) -> None:
    near, far = nodes["mac1"], nodes["mac2"]
    far.wait_for("s1", "idle")
    made = far.inject("s1", "hello")
    assert near.get(f"/injects/{made.id}", Receipt) == made
    assert near.get("/slots/s1@mac2?wait_for=idle&wait_s=10", SlotDetail).address == "s1@mac2"
    assert near.get("/screen/s1@mac2", Screen).rows == far.get("/screen/s1", Screen).rows
    said = near.get("/messages/s1@mac2", MessagePage)
    assert said == far.get("/messages/s1", MessagePage)
    assert [one.text for one in said.messages[-2:]] == ["hello", "echo: hello"]
    page = near.get("/output/s1@mac2?since=oldest", OutputPage)
    assert "echo: hello" in [line.text for line in page.lines]
    assert near.call("GET", "/output/s1@mac2?since=oldest&format=text") == far.call(
        "GET", "/output/s1?since=oldest&format=text"
    )
    waiting: list[OutputPage] = []
    poll = threading.Thread(
        target=lambda: waiting.append(near.get(f"/output/s1@mac2?since={page.next}&wait_s=30", OutputPage))
    )
    poll.start()
    far.inject("s1", "later")
    poll.join(30)
    assert waiting[0].lines


def test_a_dialog_is_answered_through_a_node_only_if_its_token_may(nodes: Nodes) -> None:
    for far, may in (("mac3", True), ("mac2", False)):
        nodes[far].wait_for("s2", "idle")
        nodes[far].inject("s2", "ask", until="submitted")
        dialog = nodes["mac1"].get("/slots/s2@" + far + "?wait_for=waiting&wait_s=20", SlotDetail).dialog
        assert dialog is not None
        answer = {"dialog_id": dialog.id, "choice": "deny"}
        if may:
            nodes["mac1"].call("POST", f"/answer/s2@{far}", answer)
            assert nodes[far].wait_for("s2", "idle").activity.state == "idle"
        else:
            with pytest.raises(HttpFailure) as refused:
                nodes["mac1"].call("POST", f"/answer/s2@{far}", answer)
            assert (refused.value.status, refused.value.code) == (403, "forbidden")
            nodes[far].call("POST", "/answer/s2", answer)


def test_a_stream_through_a_node_has_every_line_once_across_kills_of_the_far_daemon(nodes: Nodes) -> None:
    count = 3000
    near, far = nodes["mac1"], nodes["mac2"]
    far.wait_for("s3", "idle")
    start = far.get("/slots/s3", SlotDetail).output.last_id
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        with MeshdClient(url=near.url, token=near.token) as client:
            for event in client.stream("s3@mac2", since=start, events=("line", "gap"), deadline_s=150):
                assert event.type != "gap", event
                if isinstance(event.data, Line) and event.data.text.startswith("line "):
                    seen.append(int(event.data.text.split()[1].rstrip(":")))
                if len(seen) >= count:
                    break
        done.set()

    reader = threading.Thread(target=read)
    reader.start()
    far.inject("s3", f"lines {count} 300", until="submitted")
    for share in (1, 2):
        eventually(lambda share=share: len(seen) >= count * share // 4)  # type: ignore[misc]
        far.kill()
        if share == 2:
            eventually(lambda: not nodes.peers("mac1")["mac2"].reachable)
        far.start()
    assert done.wait(120), (len(seen), seen[-1:])
    reader.join(10)
    assert seen == list(range(1, count + 1))


def test_a_node_that_is_cut_off_is_named_and_comes_back(nodes: Nodes) -> None:
    near = nodes["mac1"]
    eventually(lambda: all_reachable(nodes, "mac1"))
    near.get("/mesh/slots", MeshSlots)
    nodes.net.cut(nodes.namespaces["mac3"])
    try:
        eventually(lambda: not nodes.peers("mac1")["mac3"].reachable)
        began = time.monotonic()
        found = near.get("/mesh/slots", MeshSlots)
        assert time.monotonic() - began < 5
        outcomes = {node.node: node for node in found.nodes}
        assert (outcomes["mac3"].outcome, outcomes["mac2"].outcome) == ("stale", "ok")
        assert (outcomes["mac3"].age_ms or 0) > 0 and len(found.slots) == 15
        status, body = near.exchange("GET", "/slots/s1@mac3")
        assert status in (502, 504) and b"mac3" in body
    finally:
        nodes.net.mend(nodes.namespaces["mac3"])
    eventually(lambda: all_reachable(nodes, "mac1"))
    assert near.get("/slots/s1@mac3", SlotDetail).node == "mac3"


def test_control_through_a_node_is_refused_with_the_way_out(nodes: Nodes) -> None:
    near: DaemonProcess = nodes["mac1"]
    for path, body in (
        ("/keys/s1@mac2", {"keys": ["a"]}), ("/interrupt/s1@mac2", {}), ("/stop/s1@mac2", {}), ("/start/s1@mac2", {}),
        ("/restart/s1@mac2", {}), ("/resize/s1@mac2", {"rows": 20, "cols": 80}),
    ):  # fmt: skip
        status, answer = near.exchange("POST", path, body)
        found = msgspec.json.decode(answer)["error"]
        assert (status, found["code"], found["details"]["url"]) == (403, "not_proxied", nodes["mac2"].url), path
    assert nodes["mac2"].get("/slots/s1", SlotDetail).status == "running"
