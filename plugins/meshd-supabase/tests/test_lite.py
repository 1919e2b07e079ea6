"""contrib/supabase and the sink against the real @supabase/lite, its row security on."""

import asyncio
import random
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jwt
import pytest
from meshd_supabase.connection import SupabaseConnection
from meshd_supabase.credentials import Claims, mint

from meshd_core.api import SinkPaused, SinkRejected

pytestmark = [pytest.mark.supabase, pytest.mark.anyio, pytest.mark.timeout(400)]
Connect = Callable[..., SupabaseConnection]
UPSERT = "resolution=merge-duplicates,return=minimal,missing=default"
APPEND = "resolution=ignore-duplicates,return=minimal,missing=default"


async def test_every_event_becomes_the_rows_it_should(lite: Any, connect: Connect, make: ModuleType) -> None:
    sink = connect(lite.url, lite.node_token("n1"), apikey=_key(lite))
    batch = [
        make.node(1), make.slot(2, title="é 漢 🎉"), make.slot(3, "s2"), make.heartbeat(4, 12.5),
        make.inject(5, "accepted"), make.inject(6), make.dialog(7), make.waiting(8, "Go on?"), make.exited(9),
        make.slot(10, "gone", removed=True),
    ]  # fmt: skip
    await sink.send(batch)
    (node,) = lite.rows("meshd_nodes?node=eq.n1")
    assert (node["state"], node["protocol"], node["seq"], node["uptime_s"]) == ("up", "1.0", 4, 12.5)
    assert node["slot_names"] == ["s1", "s2"]
    assert node["load"] == [0.1, 0.2, 0.3]
    assert node["slot_counts"] == {"total": 2, "by_status": {"running": 2}, "by_activity": {"idle": 2}}
    slots = {row["slot"]: row for row in lite.rows("meshd_slots?node=eq.n1")}
    assert set(slots) == {"s1", "s2", "gone"}
    assert (slots["s1"]["activity"], slots["s1"]["seq"], slots["s1"]["dialog"]["question"]) == ("waiting", 8, "Go on?")
    assert slots["s2"]["labels"] == {"team": "web"}
    assert slots["s2"]["evidence"] == [{"source": "screen", "rule": "demo-idle", "matched": "demo>"}]
    events = lite.rows("meshd_events?node=eq.n1&order=seq")
    assert [row["id"] for row in events] == [event.id for event in batch]
    assert [row["type"] for row in events] == [event.type for event in batch]
    assert events[5]["data"]["stage"] == "completed"

    (status,) = lite.rows("meshd_node_status?node=eq.n1")
    assert status["status"] == "up"
    shown = lite.rows("meshd_slot_status?node=eq.n1&order=slot")
    assert [(row["address"], row["node_status"]) for row in shown] == [("s1@n1", "up"), ("s2@n1", "up")]
    assert [(row["address"], row["question"]) for row in lite.rows("meshd_waiting")] == [("s1@n1", "Go on?")]
    (prompt,) = lite.rows("meshd_prompts")
    assert (prompt["receipt"], prompt["stage"], prompt["reply_chars"]) == ("01R@n1", "completed", 12)
    (ended,) = lite.rows("meshd_exits")
    assert (ended["slot"], ended["code"], ended["signal"], ended["known"]) == ("s1", 3, None, True)


async def test_the_newest_stays_in_whatever_order_batches_come_again(
    lite: Any, connect: Connect, make: ModuleType
) -> None:
    sink = connect(lite.url, lite.node_token("order"), node="order", apikey=_key(lite))
    events = []
    for boot in (0, 1):
        for seq in range(1, 61):
            name = "s1" if seq % 2 else "s2"
            events.append(make.slot(seq, name, title=f"{boot}-{seq}", node="order", boot=boot))
        events += [make.heartbeat(seq, float(seq), node="order", boot=boot) for seq in range(61, 71)]
    batches = [events[at : at + 7] for at in range(0, len(events), 7)] * 3
    random.Random(11).shuffle(batches)
    seen: dict[str, tuple[str, int]] = {}
    for batch in batches:
        await sink.send(batch)
        for row in await asyncio.to_thread(lite.rows, "meshd_slots?node=eq.order&select=slot,boot_id,seq"):
            assert (row["boot_id"], row["seq"]) >= seen.get(row["slot"], ("", 0))
            seen[row["slot"]] = (row["boot_id"], row["seq"])
    assert {row["slot"]: row["title"] for row in lite.rows("meshd_slots?node=eq.order")} == {"s1": "1-59", "s2": "1-60"}
    (node,) = lite.rows("meshd_nodes?node=eq.order")
    assert node["uptime_s"] == 70.0
    stored = [row["id"] for row in lite.rows("meshd_events?node=eq.order&select=id")]
    assert sorted(stored) == sorted(event.id for event in events)


async def test_another_nodes_rows_are_refused(lite: Any, connect: Connect, make: ModuleType) -> None:
    """By row security: here the sink is lied to about its own name, so that it doesn't refuse by itself."""
    sink = connect(lite.url, lite.node_token("n1"), node="n1", apikey=_key(lite))
    for stranger in (make.slot(1, node="n2"), make.node(1, node="n2"), make.inject(1, node="n2")):
        with pytest.raises(SinkPaused, match="403 42501"):
            await sink.send([stranger])
    assert lite.rows("meshd_slots?node=eq.n2") == []
    assert lite.rows("meshd_events?node=eq.n2") == []


def test_row_security_to_the_letter(lite: Any) -> None:
    mine, other, viewer = lite.node_token("sec-a"), lite.node_token("sec-b"), lite.viewer_token()
    row = {"node": "sec-a", "boot_id": "B", "seq": 5, "at": "2026-11-25T10:00:00Z"}
    event = {**row, "id": "01900000-0000-7000-8000-000000000001", "type": "exit", "version": 1, "data": {"a": 1}}
    nodes, events = "meshd_nodes?on_conflict=node", "meshd_events?on_conflict=id"
    assert lite.call("POST", nodes, mine, [row], UPSERT) == (201, None)
    assert lite.call("POST", events, mine, [event], APPEND) == (201, None)

    def refused(answer: tuple[int, Any], status: int) -> None:
        assert (answer[0], answer[1]["code"]) == (status, "42501"), answer

    # Another node may neither add, take over, change nor read; nobody may without a token, or with a viewer's.
    for path, body in ((nodes, {**row, "seq": 9}), (events, {**event, "id": "01900000-0000-7000-8000-000000000002"})):
        refused(lite.call("POST", path, other, [body], UPSERT), 403)
        refused(lite.call("POST", path, viewer, [body], UPSERT), 403)
        refused(lite.call("POST", path, None, [body], UPSERT), 401)
    refused(lite.call("POST", events, mine, [{**event, "data": {"forged": 1}}], UPSERT), 403)  # not even its own
    refused(lite.call("PATCH", "meshd_nodes?node=eq.sec-a", mine, {"node": "sec-b"}), 403)
    for token in (other, viewer, mine):
        for path in ("meshd_events?node=eq.sec-a", "meshd_nodes?node=eq.sec-a&state=eq.down"):
            lite.call("PATCH", path, token, {"seq": 99})
            lite.call("DELETE", path, token)
    for token in (other, viewer):
        lite.call("PATCH", "meshd_nodes?node=eq.sec-a", token, {"state": "down", "seq": 99})
        lite.call("DELETE", "meshd_nodes?node=eq.sec-a", token)
    lite.call("DELETE", "meshd_nodes?node=eq.sec-a", mine)
    assert [(kept["seq"], kept["state"]) for kept in lite.rows("meshd_nodes?node=eq.sec-a")] == [(5, "up")]
    assert [kept["data"] for kept in lite.rows("meshd_events?node=eq.sec-a")] == [{"a": 1}]

    # Who sees it: the node itself and viewers; not another node, not anon, not a user who says so himself.
    forged = mint(Claims(node="sec-a"), "x" * 40)
    for view in ("meshd_nodes?node=eq.sec-a", "meshd_node_status?node=eq.sec-a", "meshd_events?node=eq.sec-a"):
        assert len(lite.rows(view, mine)) == 1
        assert len(lite.rows(view, viewer)) == 1
        assert lite.rows(view, other) == []
        assert lite.rows(view, _user(lite, user_metadata={"meshd_viewer": True})) == []
        assert len(lite.rows(view, _user(lite, app_metadata={"meshd_viewer": True}))) == 1
        assert lite.rows(view, _user(lite, app_metadata={"meshd_viewer": "no"})) == []
        assert lite.call("GET", view, None)[1] == []
        assert lite.call("GET", view, forged)[0] == 401  # signed with another secret
    status, answer = lite.call("POST", "rpc/meshd_prune", mine, {"keep": "1 day"})
    assert status == 403, answer


async def test_received_at_is_the_databases_clock_whatever_a_client_says(lite: Any) -> None:
    body = {
        "node": "clock",
        "boot_id": "B",
        "seq": 1,
        "at": "1990-01-01T00:00:00Z",
        "received_at": "2099-01-01T00:00:00Z",
    }
    assert lite.call("POST", "meshd_nodes?on_conflict=node", lite.node_token("clock"), [body], UPSERT)[0] == 201
    (row,) = lite.rows("meshd_nodes?node=eq.clock")
    assert row["at"].startswith("1990")
    assert row["received_at"].startswith(time.strftime("%Y-%m-%d", time.gmtime()))


async def test_credentials_that_are_wrong(lite: Any, connect: Connect, make: ModuleType) -> None:
    good = lite.node_token("n1")
    cases = [
        (lite.node_token("n1", lifetime_s=-60), _key(lite), "PGRST303"),
        (mint(Claims(node="n1"), "another-secret-another-secret-42"), _key(lite), "PGRST301"),
        (good, "sb_publishable_wrong", "401"),
        (good, None, "401"),
    ]
    for token, key, told in cases:
        sink = connect(lite.url, token, apikey=key)
        with pytest.raises(SinkPaused, match=told):
            await sink.send([make.inject(1)])
    viewer = connect(lite.url, lite.viewer_token(), apikey=_key(lite))
    with pytest.raises(SinkPaused, match="42501"):
        await viewer.send([make.inject(1)])


async def test_a_schema_that_is_not_there_pauses(lite: Any, connect: Connect, make: ModuleType) -> None:
    sink = connect(lite.url, lite.node_token("n1"), apikey=_key(lite), schema="elsewhere")
    with pytest.raises(SinkPaused, match="PGRST106"):
        await sink.send([make.inject(1)])
    sink = connect(lite.url, lite.node_token("n1"), apikey=_key(lite), rest_path="/rest/v9")
    with pytest.raises(SinkPaused, match="404"):
        await sink.send([make.inject(1)])


async def test_text_that_postgresql_cannot_hold_arrives_all_the_same(
    lite: Any, connect: Connect, make: ModuleType
) -> None:
    sink = connect(lite.url, lite.node_token("text"), node="text", apikey=_key(lite))
    bad = "a\0b\ud800c\udfffd\x1b[31m\x7f\u2028 \\u0000 '; drop table meshd_events; --"
    await sink.send([make.waiting(1, bad, node="text"), make.slot(2, "s2", title=bad, node="text")])
    wanted = bad.replace("\0", "�").replace("\ud800", "�").replace("\udfff", "�")
    rows = {row["slot"]: row for row in lite.rows("meshd_slots?node=eq.text")}
    assert rows["s1"]["dialog"]["question"] == wanted
    assert rows["s2"]["title"] == wanted
    assert len(lite.rows("meshd_events?node=eq.text")) == 2


async def test_one_event_that_can_never_be_stored_is_a_refusal(lite: Any, connect: Connect, make: ModuleType) -> None:
    """Core then finds it by halves and sets it aside."""
    sink = connect(lite.url, lite.node_token("bad"), node="bad", apikey=_key(lite))
    event = make.inject(1, node="bad")
    broken = type(event)(**{**_fields(event), "at": "not a time"})
    with pytest.raises(SinkRejected, match="22007"):
        await sink.send([make.inject(2, node="bad"), broken])
    twin = type(event)(**{**_fields(event), "id": "01900000-0000-7000-8000-00000000000f"})
    await sink.send([event])
    with pytest.raises(SinkRejected, match="23505"):  # another event with the same number
        await sink.send([twin])


def test_liveness_and_retention_by_the_databases_clock(lite: Any) -> None:
    token = lite.node_token("old")
    node = {"node": "old", "boot_id": "B", "seq": 1, "at": "2099-01-01T00:00:00Z"}
    event = {**node, "type": "exit", "version": 1, "data": {}}
    numbered = [{**event, "seq": seq, "id": f"01900000-0000-7000-8000-0000000001{seq:02d}"} for seq in range(1, 6)]
    assert lite.call("POST", "meshd_nodes?on_conflict=node", token, [node], UPSERT)[0] == 201
    assert lite.call("POST", "meshd_events?on_conflict=id", token, numbered, APPEND)[0] == 201
    lite.stop()
    try:
        owner = "set session_replication_role = replica"  # past the trigger that stamps
        lite.sql(owner, "update meshd_nodes set received_at = now() - interval '91 seconds' where node = 'old'")
        lite.sql(
            owner, "update meshd_events set received_at = now() - interval '40 days' where node = 'old' and seq < 4"
        )
        assert lite.sql("select meshd_prune() as gone") == '[{"gone":3}]'
        with pytest.raises(AssertionError, match="keep at least an hour"):
            lite.sql("select meshd_prune(interval '1 second')")
    finally:
        lite.start()
    assert [row["seq"] for row in lite.rows("meshd_events?node=eq.old&order=seq")] == [4, 5]
    assert [row["status"] for row in lite.rows("meshd_node_status?node=eq.old")] == ["away"]
    assert (
        lite.call("POST", "meshd_nodes?on_conflict=node", token, [{**node, "seq": 2, "state": "down"}], UPSERT)[0]
        == 200
    )
    assert [row["status"] for row in lite.rows("meshd_node_status?node=eq.old")] == ["down"]


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def _key(lite: Any) -> str:
    return str(lite.apikey)


def _user(lite: Any, **claims: Any) -> str:
    """A token as Supabase Auth gives one to a user."""
    said = {"role": "authenticated", "sub": "00000000-0000-0000-0000-000000000001", "exp": int(time.time()) + 600}
    return jwt.encode({**said, **claims}, lite.secret, algorithm="HS256")
