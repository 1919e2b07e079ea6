"""The table, the slots and the news of all nodes: partial by design, and each caller sees what it reaches."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from meshd_core.clock import rfc3339
from meshd_core.config.model import PeerSection
from meshd_core.contracts.events import DialogData, InjectData, SlotData
from meshd_core.events import EventBus
from meshd_core.mesh.mesh import Mesh
from meshd_core.mesh.news import MAX_WAITING, MAX_WAITING_BYTES, Item, News
from meshd_core.types import Activity, Dialog, NodeOutcome
from tests.mesh.conftest import Pair, checked, pair
from tests.mesh.http_client import Stream, ask

pytestmark = pytest.mark.anyio


@pytest.fixture
async def two(short_tmp: Path) -> AsyncIterator[Pair]:
    async with pair(short_tmp) as found:
        yield found


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


def slot_data(activity: str = "busy", *, removed: bool = False) -> SlotData:
    return SlotData(
        kind="demo", labels={}, status="running", activity=Activity(activity, rfc3339(), 0.9), dialog=None, title="",  # type: ignore[arg-type]
        pid=1, restarts=0, queue=0, agent_version=None, error=None, config="live", removed=removed,
    )  # fmt: skip


async def test_the_table_tells_of_each_node(two: Pair) -> None:
    await eventually(lambda: two.mesh.peers()[0].reachable)
    own, far = (await ask(two.near, "GET", "/mesh/nodes")).json["nodes"]
    assert (own["node"], own["self"], own["reachable"]) == ("mac1", True, True)
    assert (far["node"], far["self"], far["reachable"], far["error"]) == ("mac2", False, True, None)
    assert far["url"] == f"http://127.0.0.1:{two.far.port}"
    assert 0 < far["rtt_ms"] < 5000 and abs(far["skew_s"]) < 5 and far["age_ms"] < 20_000
    assert two.peer_token not in str(far)


async def test_slots_of_all_nodes_are_told_with_where_they_are_from(two: Pair) -> None:
    found = (await ask(two.near, "GET", "/mesh/slots")).json
    assert {slot["address"] for slot in found["slots"]} == {
        f"{name}@{node}" for name in ("demo", "other", "claude-1") for node in ("mac1", "mac2")
    }
    assert [(node["node"], node["outcome"]) for node in found["nodes"]] == [("mac1", "ok"), ("mac2", "ok")]
    narrow = two.near.token("read", "demo", "other@mac2")
    found = (await ask(two.near, "GET", "/mesh/slots", token=narrow)).json
    assert {slot["address"] for slot in found["slots"]} == {"demo@mac1", "other@mac2"}


async def test_a_node_that_is_away_has_its_last_known_slots(two: Pair) -> None:
    await ask(two.near, "GET", "/mesh/slots")
    two.far.server.stop()
    await eventually(lambda: two.mesh.peers()[0].error is not None)
    found = (await ask(two.near, "GET", "/mesh/slots")).json
    assert len(found["slots"]) == 6
    stale = found["nodes"][1]
    assert (stale["outcome"], stale["age_ms"] > 0, "mac2" in stale["error"]) == ("stale", True, True)


async def test_a_node_that_lies_about_its_slots_has_none(two: Pair) -> None:
    await ask(two.near, "GET", "/mesh/slots")
    real = two.far.node.slot
    two.far.node.slot = lambda name: msgspec.structs.replace(real(name), node="mac1", address=f"{name}@mac1")
    found = (await ask(two.near, "GET", "/mesh/slots")).json
    assert found["nodes"][1]["outcome"] == "garbage"
    assert {slot["node"] for slot in found["slots"]} == {"mac1"} and len(found["slots"]) == 3


async def test_what_came_through_a_node_is_not_asked_of_all(two: Pair) -> None:
    for path in ("/mesh/slots", "/mesh/stream"):
        assert (await ask(two.near, "GET", path, headers={"Meshd-Via": "mac7"})).code == "loop_detected"


async def test_news_of_all_nodes_begin_with_a_snapshot(two: Pair) -> None:
    with Stream(two.near, "/mesh/stream") as stream:
        assert await stream.event("node") == {"node": "mac1", "outcome": "ok", "age_ms": 0, "error": None}
        own = [(await stream.event("state"))["address"] for _ in range(3)]
        assert own == ["demo@mac1", "other@mac1", "claude-1@mac1"]
        assert (await stream.event("node"))["node"] == "mac2"
        far = [(await stream.event("state"))["address"] for _ in range(3)]
        assert far == ["demo@mac2", "other@mac2", "claude-1@mac2"]
        two.near_bus.publish("demo", slot_data())
        assert (await stream.event("state"))["address"] == "demo@mac1"
        two.far_bus.publish("demo", slot_data())
        state = await stream.event("state")
        assert (state["address"], state["activity"]["state"]) == ("demo@mac2", "busy")
        dialog = Dialog("d1", "approval", "may I?", rfc3339())
        two.far_bus.publish("demo", DialogData("opened", dialog))
        assert (await stream.event("dialog"))["dialog"]["question"] == "may I?"
        two.far_bus.publish("demo", InjectData("01X@mac2", "submitted", {}, None, None, None, False))
        moved = await stream.event("inject")
        assert (moved["address"], moved["receipt"], moved["stage"]) == ("demo@mac2", "01X@mac2", "submitted")
        with Stream(two.near, "/mesh/stream") as second:  # what is known by now comes at once
            seen = await second.until(b'"address":"claude-1@mac2"')
            assert b'"busy"' in seen and b"\nid:" not in seen
    await eventually(lambda: not two.mesh.news.listened and not two.mesh.links())
    await eventually(lambda: two.far.app.hub.readers() == 0)


async def test_news_are_only_of_what_the_caller_reaches(two: Pair) -> None:
    with Stream(two.near, "/mesh/stream", token=two.near.token("read", "demo@mac2")) as stream:
        assert (await stream.event("state"))["address"] == "demo@mac2"
        two.near_bus.publish("demo", slot_data())
        two.far_bus.publish("other", slot_data())
        two.far_bus.publish("demo", slot_data("idle"))
        state = await stream.event("state")
        assert (state["address"], state["activity"]["state"]) == ("demo@mac2", "idle")


async def test_a_node_that_goes_away_and_comes_back_is_told(two: Pair) -> None:
    with Stream(two.near, "/mesh/stream") as stream:
        await stream.until(b"claude-1@mac2")
        for connection in list(two.far.server.server_state.connections):
            connection.transport.abort()
        assert (await stream.event("node"))["outcome"] == "unreachable"
        assert (await stream.event("node"))["outcome"] == "ok"
        assert (await stream.event("state"))["address"] == "demo@mac2"


async def test_news_say_bye_when_this_node_drains_and_end_with_the_credential(two: Pair) -> None:
    token, stored = two.near.store.create("read", ("*@*",))
    with Stream(two.near, "/mesh/stream", token=token) as revoked, Stream(two.near, "/mesh/stream") as stream:
        await revoked.until(b"claude-1@mac2")
        two.near.store.revoke(stored.kid)
        assert b"bye" not in await revoked.until(b"\r\n0\r\n\r\n")
        two.near.app.close()
        assert b'{"reason":"draining"}' in await stream.until(b"\r\n0\r\n\r\n")


async def test_a_listener_that_falls_behind_is_cut_off_and_costs_no_more() -> None:
    news = News(EventBus("mac1"), lambda listened: None)
    with news.listening(own_only=False) as slow, news.listening(own_only=False) as quick:
        for _ in range(MAX_WAITING + 5):
            news.tell(Item("node", "mac2", None, NodeOutcome("mac2", "ok")))
            quick.take()
        assert slow.lost and len(slow.take()) == MAX_WAITING
        assert not quick.lost


async def test_a_changed_table_disturbs_only_what_changed(two: Pair, tmp_path: Path) -> None:
    await eventually(lambda: two.mesh.peers()[0].reachable)
    same = two.mesh.peer("mac2")
    third = PeerSection("mac3", "http://127.0.0.1:1")
    two.mesh.update(checked("mac1", tmp_path, [same.section, third]))
    assert two.mesh.peer("mac2") is same and same.info().reachable
    await eventually(lambda: two.mesh.peer("mac3").info().error == "nothing listens there")
    two.mesh.update(checked("mac1", tmp_path, [PeerSection("mac2", "http://127.0.0.1:1")]))
    assert two.mesh.peer("mac2") is not same
    assert [peer.node for peer in two.mesh.peers()] == ["mac2"]


async def test_a_mesh_without_nodes_has_no_tasks(tmp_path: Path) -> None:
    mesh = Mesh(checked("mac1", tmp_path, []), EventBus("mac1"), tmp_path)
    before = len(asyncio.all_tasks())
    async with mesh.running():
        assert await mesh.survey() == []
        assert len(asyncio.all_tasks()) == before


async def test_a_listener_is_bounded_by_bytes_too() -> None:
    news = News(EventBus("mac1"), lambda listened: None)
    with news.listening(own_only=False) as listener:
        for _ in range(5):
            news.tell(Item("state", "mac2", "demo", NodeOutcome("mac2", "ok", 0), MAX_WAITING_BYTES // 4))
        assert listener.lost and len(listener.take()) == 4


async def test_slots_of_a_node_that_leaves_the_table_are_told_as_removed(two: Pair, tmp_path: Path) -> None:
    with Stream(two.near, "/mesh/stream") as stream:
        await stream.until(b'"address":"claude-1@mac2"')
        two.mesh.update(checked("mac1", tmp_path, []))
        gone = [await stream.event("state") for _ in range(3)]
        assert {(state["address"], state["removed"]) for state in gone} == {
            (f"{name}@mac2", True) for name in ("demo", "other", "claude-1")
        }
        told = await stream.event("node")
        assert (told["node"], told["outcome"], "table" in told["error"]) == ("mac2", "unreachable", True)
