"""Slots of another node through the node that was asked: what is passed on, what is refused, and as whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.client.connection import Answer as FarAnswer
from meshd_core.contracts.auth import Principal
from meshd_core.http.proxy import as_sent, error_of
from meshd_core.mesh import peer
from meshd_core.types import AnswerRequest, AnswerResult, InjectRequest, InterruptRequest, MeshInjectRequest
from tests.http.conftest import Running
from tests.mesh.conftest import Pair, checked, pair
from tests.mesh.http_client import Stream, ask

pytestmark = pytest.mark.anyio


@pytest.fixture
async def two(short_tmp: Path) -> AsyncIterator[Pair]:
    async with pair(short_tmp) as found:
        yield found


async def test_every_read_of_a_slot_takes_an_address(two: Pair) -> None:
    two.far.node.feeds["demo"].lines("one", "two")
    slot = await ask(two.near, "GET", "/slots/demo@mac2")
    assert (slot.status, slot.json["address"]) == (200, "demo@mac2")
    assert (await ask(two.near, "GET", "/slots/demo%40mac2")).json["node"] == "mac2"
    assert (await ask(two.near, "GET", "/slots/demo@mac1")).json["node"] == "mac1"
    assert (await ask(two.near, "GET", "/slots/demo@mac2?wait_for=idle&wait_s=5")).status == 200
    told = (await ask(two.near, "GET", "/slots/demo@mac2?explain=1")).json
    assert (slot.json["explain"], told["explain"]["profile"]["kind"]) == (None, "demo")
    assert (await ask(two.near, "GET", "/screen/demo@mac2")).json["rows"] == ["> "]
    messages = await ask(two.near, "GET", "/messages/demo@mac2?limit=7&before=m9")
    assert (messages.status, messages.json["messages"][0]["text"]) == (200, "hello")
    assert two.far.node.calls == ["messages demo m9 7"]
    page = await ask(two.near, "GET", "/output/demo@mac2?since=oldest")
    assert [line["text"] for line in page.json["lines"]] == ["one", "two"]
    text = await ask(two.near, "GET", "/output/demo@mac2?format=text&limit=1")
    assert (text.body, text.headers["content-type"]) == (b"two\n", "text/plain; charset=utf-8")
    assert text.headers["meshd-next"] == page.json["next"]
    assert text.headers["meshd-node"] == "mac1"


async def test_a_long_poll_goes_through(two: Pair) -> None:
    feed = two.far.node.feeds["demo"]
    waiting = asyncio.create_task(ask(two.near, "GET", "/output/demo@mac2?since=e1-0&wait_s=20"))
    while not feed._waiters:
        await asyncio.sleep(0.01)
    feed.lines("late")
    assert [line["text"] for line in (await waiting).json["lines"]] == ["late"]


async def test_an_answer_to_a_dialog_has_the_time_that_its_agent_takes(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(name: str, request: AnswerRequest) -> AnswerResult:
        await asyncio.sleep(0.8)
        return AnswerResult(name, "mac2", request.dialog_id, request.choice, True)

    async with pair(short_tmp, "approve") as two:
        await ask(two.near, "GET", "/slots/claude-1@mac2")
        monkeypatch.setattr(two.far.node, "answer", slowly, raising=False)
        monkeypatch.setattr(peer, "ANSWER_TIMEOUT_S", 0.3)
        found = await ask(two.near, "POST", "/answer/claude-1@mac2", {"dialog_id": "d1", "choice": "accept"})
    assert (found.status, found.json.get("closed")) == (200, True), found.json


async def test_errors_of_the_other_node_come_back_as_they_are(two: Pair) -> None:
    missing = await ask(two.near, "GET", "/slots/nope@mac2")
    assert (missing.status, missing.code) == (404, "slot_not_found")
    assert (await ask(two.near, "GET", "/output/demo@mac2?since=garbage")).code == "invalid_field"
    assert (await ask(two.near, "GET", "/slots/demo@mac9")).code == "node_not_found"
    for name in ("..%2f..", "a%3fb", "a%0d%0aX: y", "%00", "A"):
        assert (await ask(two.near, "GET", f"/slots/{name}@mac2")).status in (400, 404), name


async def test_a_receipt_is_found_by_the_node_in_its_id(two: Pair) -> None:
    made = await ask(two.far, "POST", "/inject/demo", {"text": "a"})
    found = await ask(two.near, "GET", f"/injects/{made.json['id']}")
    assert found.json == made.json
    assert (await ask(two.near, "DELETE", f"/injects/{made.json['id']}")).code == "inject_not_cancellable"
    assert (await ask(two.near, "GET", "/injects/01JD0000000000000000000000@mac2")).code == "inject_not_found"
    assert (await ask(two.near, "GET", "/injects/..%2f@mac2")).status == 404
    narrow = two.near.token("inject", "other@mac2")
    for method in ("GET", "DELETE"):
        hidden = await ask(two.near, method, f"/injects/{made.json['id']}", token=narrow)
        none = await ask(two.near, method, "/injects/01JD0000000000000000000000@mac2", token=narrow)
        assert (hidden.code, hidden.json["error"]) == ("inject_not_found", none.json["error"])


async def test_the_caller_is_judged_before_anything_is_sent(two: Pair) -> None:
    before = two.far.app.counters.requests
    own = two.near.token("admin", "*")
    assert (await ask(two.near, "GET", "/slots/demo@mac2", token=own)).code == "slot_not_found"
    assert (await ask(two.near, "GET", "/stream/demo@mac2", token=own)).code == "slot_not_found"
    assert (await ask(two.near, "GET", "/injects/01JD0@mac2", token=own)).code == "inject_not_found"
    assert (await ask(two.near, "GET", "/slots/demo@mac2", token=None)).code == "unauthorized"
    assert two.far.app.counters.requests == before
    reader = two.near.token("read", "demo@mac2")
    assert (await ask(two.near, "GET", "/slots/demo@mac2", token=reader)).status == 200
    hidden = await ask(two.near, "GET", "/slots/other@mac2", token=reader)
    assert (hidden.code, "demo" in hidden.json["error"]["hint"]) == ("slot_not_found", False)


async def test_a_slot_that_another_node_does_not_have_is_told_with_that_node(two: Pair) -> None:
    for method, path, body in (("GET", "/slots/nope@mac2", None), ("POST", "/inject/nope@mac2", {"text": "a"})):
        error = (await ask(two.near, method, path, body)).json["error"]
        assert (error["code"], error["message"]) == ("slot_not_found", "there is no slot 'nope' on node 'mac2'")
        assert error["hint"].startswith("did you mean") and error["details"]["slot"] == "nope@mac2"
    narrow = two.near.token("inject", "n*@mac2")
    hidden = (await ask(two.near, "POST", "/inject/nope@mac2", {"text": "a"}, token=narrow)).json["error"]
    assert hidden["hint"] == "'meshd ls --mesh' lists the slots"


async def test_a_selection_by_a_node_that_is_not_known_is_refused(two: Pair) -> None:
    for path in ("/mesh/inject", "/mesh/broadcast"):
        refused = await ask(two.near, "POST", path, {"text": "a", "select": {"node": "mca2"}})
        assert (refused.status, refused.code) == (404, "node_not_found")
        assert refused.json["error"]["hint"] == "did you mean 'mac2'?"


async def test_the_token_for_the_other_node_bounds_what_it_answers(short_tmp: Path) -> None:
    async with pair(short_tmp, "read", "demo") as two:
        assert (await ask(two.near, "GET", "/slots/demo@mac2")).status == 200
        assert (await ask(two.near, "GET", "/slots/other@mac2")).code == "slot_not_found"
        receipt = await ask(two.far, "POST", "/inject/demo", {"text": "a"})
        refused = await ask(two.near, "DELETE", f"/injects/{receipt.json['id']}")
        assert (refused.status, refused.code) == (403, "forbidden")
        assert "mac2" in refused.json["error"]["message"]


async def test_control_of_another_nodes_slot_is_that_nodes_business(two: Pair) -> None:
    before = two.far.app.counters.requests
    for spec in two.near.app.routes:
        if "{slot}" in spec.path and spec.scope == "control":
            body = None if spec.body is None else {"rows": 3, "cols": 30} if "resize" in spec.path else {}
            refused = await ask(two.near, spec.method, spec.path.replace("{slot}", "demo@mac2"), body)
            assert (refused.status, refused.code) == (403, "not_proxied"), spec.path
            assert refused.json["error"]["details"] == {"node": "mac2", "url": f"http://127.0.0.1:{two.far.port}"}
    for mode in ("view", "control"):  # a WebSocket, and its ticket, are for who opened it
        attached = await ask(two.near, "GET", f"/attach/demo@mac2?mode={mode}&ticket=x")
        assert (attached.status, attached.code) == (403, "not_proxied")
    assert two.far.app.counters.requests == before
    assert two.far.node.calls == []


async def test_loops_are_cut(two: Pair) -> None:
    for via in ("mac1", "mac7, mac1", "mac7, mac8", "mac1,mac1", ", ,mac1"):
        for path in ("/slots/demo", "/slots", "/slots/demo@mac2", "/health"):
            answer = await ask(two.near, "GET", path, headers={"Meshd-Via": via})
            assert (answer.status, answer.code) == (508, "loop_detected"), (via, path)
    for path in ("/slots/demo@mac2", "/stream/demo@mac2", "/output/demo@mac2", "/injects/01JD0@mac2"):
        answer = await ask(two.near, "GET", path, headers={"Meshd-Via": "mac7"})
        assert (answer.status, answer.code) == (508, "loop_detected"), path
    assert (await ask(two.near, "GET", "/slots/demo", headers={"Meshd-Via": "mac7"})).status == 200
    twice = await asyncio.to_thread(_with_two_vias, two.near)
    assert b"400" in twice.split(b"\r\n")[0]


def _with_two_vias(running: Running) -> bytes:
    with running.connect() as sock:
        head = f"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.admin}\r\n"
        sock.sendall(head.encode() + b"Meshd-Via: mac1\r\nMeshd-Via: x\r\nConnection: close\r\n\r\n")
        return sock.recv(65536)


async def test_the_callers_token_stays_here_and_its_subject_is_a_claim(two: Pair) -> None:
    token = two.near.store.create("inject", ("*@*",), label="ci é")[0]
    receipt = (await ask(two.far, "POST", "/inject/demo", {"text": "a"})).json["id"]
    await ask(two.near, "DELETE", f"/injects/{receipt}", token=token)
    near = _audit(two.near)[-1]
    far = _audit(two.far)[-1]
    assert near["principal"] == "token:ci é" and "claimed" not in near
    assert far["principal"] == "token:peer:mac1"
    assert far["claimed"] == "token:ci é"
    assert token not in json.dumps(far)
    odd = {"Meshd-Subject": "a%0Ab%1B%5B2J"}
    await ask(two.far, "DELETE", f"/injects/{receipt}", token=two.peer_token, headers=odd)
    assert _audit(two.far)[-1]["claimed"] == repr("a\nb\x1b[2J")
    # Anyone may claim, nobody gains: only a token that was made for a node has its claims recorded.
    await ask(two.far, "DELETE", f"/injects/{receipt}", headers={"Meshd-Subject": "token:boss"})
    assert "claimed" not in _audit(two.far)[-1]


def _audit(running: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (running.state / "audit.jsonl").read_text().splitlines()]


async def test_a_stream_comes_through_as_it_is(two: Pair) -> None:
    feed = two.far.node.feeds["demo"]
    feed.lines("one", "two", "three")
    with Stream(two.near, "/stream/demo@mac2?events=line", {"Last-Event-ID": "e1-35"}) as stream:
        got = await stream.until(b"three")
        assert b'"two"' in got and b'"one"' not in got
        feed.lines("four")
        await stream.until(b"four")
        assert two.near.app.hub.readers() == 1
        two.far.app.close()  # the other node drains
        rest = await stream.until(b"0\r\n\r\n")
        assert b'{"reason":"draining"}' in rest
    while two.near.app.hub.readers():
        await asyncio.sleep(0.01)


async def test_a_stream_ends_with_its_credential(two: Pair) -> None:
    token, stored = two.near.store.create("read", ("demo@mac2",))
    with Stream(two.near, "/stream/demo@mac2", token=token) as stream:
        await stream.until(b"event: state")
        two.near.store.revoke(stored.kid)
        rest = await stream.until(b"0\r\n\r\n")
        assert b"bye" not in rest


async def test_a_stream_says_bye_when_this_node_drains(two: Pair) -> None:
    with Stream(two.near, "/stream/demo@mac2") as stream:
        await stream.until(b"event: state")
        two.near.app.close()
        assert b"draining" in await stream.until(b"0\r\n\r\n")


def test_a_body_is_sent_on_as_it_was_said() -> None:
    said = InjectRequest(text="a", until="completed")
    assert json.loads(as_sent(said)) == {"text": "a", "until": "completed"}
    assert json.loads(as_sent(InterruptRequest())) == {}
    assert json.loads(as_sent(MeshInjectRequest(text="a"))) == {"text": "a"}


@pytest.mark.parametrize(
    ("status", "code", "details"),
    [
        (401, "unauthorized", {}), (404, "too_many_failures", {"retry_after_s": "1\r\nX: y"}),
        (405, "method_not_allowed", {}), (999, "later", {}), (404, "draining", {}), (421, "host_not_allowed", {}),
        (429, "too_many_failures", {"retry_after_s": "1\r\nX: y"}), (499, "later", {}),
    ],
)  # fmt: skip
async def test_what_only_this_node_may_say_is_not_said_by_another(
    two: Pair, status: int, code: str, details: dict[str, str]
) -> None:
    peer = two.mesh.peer("mac2")
    body = json.dumps({"error": {"code": code, "message": "m", "details": details}}).encode()
    error = error_of(peer, FarAnswer(status, "application/json", body), Principal("x", "read", ("*@*",)))
    assert (error.status, error.code) == (502, "peer_error")


async def test_a_stream_of_a_node_that_leaves_the_table_says_bye(two: Pair, tmp_path: Path) -> None:
    with Stream(two.near, "/stream/demo@mac2") as stream:
        await stream.until(b"event: state")
        two.mesh.update(checked("mac1", tmp_path, []))
        assert b"event: bye" in await stream.until(b"\r\n0\r\n\r\n")
    assert (await ask(two.near, "GET", "/stream/demo@mac2")).code == "node_not_found"


async def test_a_long_poll_of_a_node_that_leaves_the_table_is_answered(two: Pair, tmp_path: Path) -> None:
    waiting = asyncio.create_task(ask(two.near, "GET", "/output/demo@mac2?since=e1-0&wait_s=20"))
    while not two.far.node.feeds["demo"]._waiters:
        await asyncio.sleep(0.01)
    two.mesh.update(checked("mac1", tmp_path, []))
    answer = await waiting
    assert (answer.status, answer.code, answer.json["error"]["details"]["outcome"]) == (
        502,
        "peer_error",
        "unreachable",
    )


async def test_a_receipt_of_a_node_that_left_the_table_is_in_doubt(two: Pair, tmp_path: Path) -> None:
    made = await ask(two.near, "POST", "/inject/demo@mac2", {"text": "x"})
    two.mesh.update(checked("mac1", tmp_path, []))
    found = await ask(two.near, "GET", f"/injects/{made.json['id']}")
    assert (found.status, found.json["stage"]) == (200, "in_doubt")
    assert (await ask(two.near, "GET", "/injects/01JD0000000000000000000000@mac2")).code == "node_not_found"


async def test_refusals_of_a_dispatch_are_told_as_those_of_any_call(short_tmp: Path) -> None:
    select = {"kind": "demo", "node": "mac2"}
    async with pair(short_tmp, "read") as two:
        named = await ask(two.near, "POST", "/inject/demo@mac2", {"text": "x"})
        broadcast = await ask(two.near, "POST", "/mesh/broadcast", {"text": "x", "select": select})
    told = {(failure["code"], failure["message"]) for failure in broadcast.json["failures"]}
    assert told == {("forbidden", named.json["error"]["message"])}
    assert named.json["error"]["message"].startswith("node 'mac2' refuses this to this node: ")


async def test_errors_of_a_newer_node_come_through(two: Pair) -> None:
    body = b'{"error":{"code":"later","message":"m"}}'
    error = error_of(two.mesh.peer("mac2"), FarAnswer(409, "application/json", body), Principal("x", "read"))
    assert (error.status, error.code) == (409, "later")
