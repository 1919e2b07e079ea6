"""The routes, as the table declares them and the OpenAPI document tells them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshd_core.errors import MeshdError
from meshd_core.http.audit import AuditLog
from meshd_core.http.peer import Peer
from meshd_core.types import Gap

Running = Any
Serve = Callable[..., Any]


def test_every_answer_has_a_request_id_of_its_own(running: Running) -> None:
    answers = [running.ask("GET", path) for path in ("/health", "/slots", "/nope", "/slots/nope")]
    ids = {answer.headers["meshd-request-id"] for answer in answers}
    assert len(ids) == 4
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}


def test_unknown_methods_name_the_possible_ones(running: Running) -> None:
    for method in ("PUT", "PATCH", "HEAD", "OPTIONS", "BREW"):
        answer = running.ask(method, "/injects/x")
        assert answer.status == 405
        assert answer.headers["allow"] == "DELETE, GET"
        if method != "HEAD":
            assert answer.code == "method_not_allowed"


def test_health_tells_when_the_node_drains(running: Running) -> None:
    running.node.status = "draining"
    answer = running.ask("GET", "/health", token=None)
    assert (answer.status, answer.json) == (503, {"status": "draining"})
    running.node.status = "degraded"
    assert running.ask("GET", "/health", token=None).status == 200


def test_the_list_of_slots_is_filtered(running: Running) -> None:
    def names(query: str) -> list[str]:
        return [slot["name"] for slot in running.ask("GET", f"/slots?{query}").json["slots"]]

    assert len(names("")) == 3
    assert len(names("kind=demo,claude&status=running")) == 3
    assert names("kind=claude") == []
    assert names("activity=busy") == []
    assert names("label=team:web") == ["demo"]
    assert names("label=team:web&label=team:x") == []
    for query in ("status=x", "activity=sleeping", "label=team", "foo=1", "kind=a&kind=b"):
        assert running.ask("GET", f"/slots?{query}").code == "invalid_field", query
    assert running.ask("GET", "/slots?" + "&".join(f"label=a:{n}" for n in range(40))).code == "invalid_request"


def test_waiting_for_a_state(running: Running) -> None:
    assert running.ask("GET", "/slots/demo?wait_for=idle,waiting&wait_s=30").status == 200
    begun = time.monotonic()
    assert running.ask("GET", "/slots/demo?wait_for=busy&wait_s=0.2").status == 200
    assert 0.15 < time.monotonic() - begun < 5
    for query in ("wait_for=sleepy", "wait_for=idle&wait_s=nan", "wait_for=idle&wait_s=-1", "wait_s=1e9"):
        assert running.ask("GET", f"/slots/demo?{query}").code == "invalid_field", query
    assert running.ask("GET", "/slots/nope?wait_for=busy&wait_s=30").code == "slot_not_found"


def test_a_prompt_answers_200_when_it_is_done_and_202_while_it_goes_on(running: Running) -> None:
    assert running.ask("POST", "/inject/demo", {"text": "a", "until": "submitted"}).status == 200
    assert running.ask("POST", "/inject/demo", {"text": "a", "until": "completed"}).status == 202
    running.node.stage = "failed"
    failed = running.ask("POST", "/inject/demo", {"text": "a", "until": "completed"})
    assert failed.status == 200
    assert running.ask("GET", f"/injects/{failed.json['id']}").json == failed.json
    assert running.ask("DELETE", f"/injects/{failed.json['id']}").code == "inject_not_cancellable"
    assert running.ask("GET", "/injects/nope@mac1").code == "inject_not_found"


def test_output_pages_follow_each_other_without_loss(running: Running) -> None:
    feed = running.node.feeds["demo"]
    running.call(lambda: feed.lines(*(str(n) for n in range(1, 26))))
    newest = running.ask("GET", "/output/demo?limit=3").json
    assert [line["n"] for line in newest["lines"]] == [23, 24, 25]
    since, numbers = "oldest", []
    for _ in range(3):
        page = running.ask("GET", f"/output/demo?since={since}&limit=10").json
        numbers += [line["n"] for line in page["lines"]]
        since = page["next"]
    assert numbers == list(range(1, 26))
    assert running.ask("GET", f"/output/demo?since={since}").json == {"lines": [], "next": since, "gap": None}


def test_output_tells_a_gap_before_the_lines_that_follow_it(running: Running) -> None:
    feed = running.node.feeds["demo"]

    def produce() -> None:
        feed.lines("a")
        feed.event("gap", Gap(5, 100))
        feed.event("gap", Gap(2, 10))
        feed.lines("b")

    running.call(produce)
    first = running.ask("GET", "/output/demo?since=oldest").json
    assert ([line["text"] for line in first["lines"]], first["gap"]) == (["a"], None)
    second = running.ask("GET", f"/output/demo?since={first['next']}").json
    assert ([line["text"] for line in second["lines"]], second["gap"]) == (["b"], {"lost_lines": 7, "lost_bytes": 110})
    assert running.ask("GET", "/output/demo?since=e0-0").json["gap"]["lost_lines"] is None
    assert running.ask("GET", "/output/demo?since=x").code == "invalid_field"


def test_output_as_text(running: Running) -> None:
    running.call(lambda: running.node.feeds["demo"].lines("a", "b ☃"))
    answer = running.ask("GET", "/output/demo?format=text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == "a\nb ☃\n"
    assert answer.headers["meshd-next"] == f"e1-{running.node.feeds['demo'].head}"


def test_output_waits_for_a_line(running: Running) -> None:
    feed = running.node.feeds["demo"]
    running.loop.call_soon_threadsafe(lambda: running.loop.call_later(0.2, lambda: feed.lines("late")))
    page = running.ask("GET", "/output/demo?since=oldest&wait_s=20").json
    assert [line["text"] for line in page["lines"]] == ["late"]
    begun = time.monotonic()
    assert running.ask("GET", f"/output/demo?since={page['next']}&wait_s=0.2").json["lines"] == []
    assert time.monotonic() - begun < 5
    assert running.ask("GET", "/output/demo?wait_s=61").code == "invalid_field"


def test_plugins_routes_have_the_same_checks(running: Running) -> None:
    read = running.token("read")
    assert running.ask("GET", "/x/toy/hello?a=1", token=read).json["path"] == "/hello"
    assert running.ask("POST", "/x/toy/hello", {"a": 1}, token=read).status == 200
    assert running.ask("POST", "/x/toy/hello", b"a=1", token=read).status == 415
    assert running.ask("PUT", "/x/toy/hello", token=read).headers["allow"] == "GET, POST"
    assert running.ask("GET", "/x/toy/broken", token=read).status == 403
    assert running.ask("GET", "/x/toy", token=read).status == 404


def test_the_first_exporter_is_also_where_scrapers_look(running: Running) -> None:
    for path in ("/metrics", "/x/toy/metrics"):
        answer = running.ask("GET", path, token=running.token("read"))
        assert (answer.status, answer.body) == (200, b"sees_all 1\n")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert running.ask("GET", "/metrics", token=running.token("read", "demo")).body == b"sees_all 0\n"
    assert running.ask("GET", "/x/late/metrics").body == b"second"
    assert running.ask("GET", "/metrics", token=None).status == 401


def test_the_openapi_document_tells_every_route_scope_and_type(running: Running) -> None:
    document = running.ask("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(spec.method, spec.path) for spec in running.app.routes}
    assert len({op["operationId"] for op in operations(document)}) == len(told)
    for spec in running.app.routes:
        operation = document["paths"][spec.path][spec.method.lower()]
        assert operation["x-scope"] == spec.scope
        assert operation["security"] == ([] if spec.scope is None else [{"bearer": []}])
        assert set(operation["responses"]) >= {str(spec.status), "400", "421", "500"}
        assert set(operation["responses"]) >= {str(error.status) for error in spec.errors}
        in_path = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
        assert in_path == {part[1:-1] for part in spec.path.split("/") if part.startswith("{")}
        assert ("requestBody" in operation) == (spec.body is not None)
    inject = document["components"]["schemas"]["InjectRequest"]
    assert inject["required"] == ["text"]
    assert inject["additionalProperties"] is False
    assert document["components"]["schemas"]["Gap"]


def test_every_reference_of_the_openapi_document_leads_somewhere(running: Running) -> None:
    text = running.ask("GET", "/openapi.json").body.decode()
    document = json.loads(text)
    references = {part.split('"')[0] for part in text.split('"$ref":"')[1:]}
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
    assert running.admin not in text


def test_declared_errors_are_of_the_protocol(running: Running) -> None:
    for spec in running.app.routes:
        for error in spec.errors:
            assert issubclass(error, MeshdError)
            assert 400 <= error.status < 600


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def test_every_write_is_audited_with_who_what_and_a_hash_but_no_text(running: Running) -> None:
    token = running.token("inject", "demo")
    answer = running.ask("POST", "/inject/demo", {"text": "a secret prompt"}, token=token)
    running.ask("POST", "/stop/demo", token=token)
    running.ask("GET", "/slots")
    running.ask("POST", "/stop/demo", token=None, family="unix")
    path = running.state / "audit.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "a secret prompt" not in path.read_text()
    inject, stop = (json.loads(line) for line in path.read_text().splitlines())
    assert inject["action"] == "POST /inject/{slot}"
    assert (inject["slot"], inject["peer"], inject["bytes"]) == ("demo", "127.0.0.1", 15)
    assert inject["request_id"] == answer.headers["meshd-request-id"]
    assert inject["id"] == token.split("_")[1]
    assert len(inject["sha256"]) == 64
    assert stop["principal"].startswith("local:")


def test_an_audit_log_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    from meshd_core.contracts.auth import Principal

    log = AuditLog(tmp_path / "missing" / "audit.jsonl")
    for _ in range(3):
        log.record(Principal("x", "read"), Peer("127.0.0.1"), "POST /x", None, "r1", b"")
    assert log.lost == 3
    (tmp_path / "missing").mkdir()
    log.record(Principal("x", "read"), Peer("127.0.0.1"), "POST /x", None, "r2", b"")
    log.close()
    assert '"r2"' in (tmp_path / "missing" / "audit.jsonl").read_text()


def test_the_audit_log_keeps_text_only_if_told_to(tmp_path: Path) -> None:
    from meshd_core.contracts.auth import Principal

    log = AuditLog(tmp_path / "audit.jsonl", keep_text=True)
    log.record(Principal("x", "read"), Peer("::1"), "POST /inject/{slot}", "demo", "r", b"line\r\n\x1b[31mred")
    log.close()
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == "line\r\n\x1b[31mred"
    assert "\x1b" not in line


@pytest.mark.parametrize("address", ["1.2.3.4", "2001:db8:1:2::1"])
def test_the_limiter_forgets_and_is_bounded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshd_core.http import limits

    now = [0.0]
    monkeypatch.setattr(limits, "monotonic", lambda: now[0])
    limiter = limits.FailureLimiter()
    assert [limiter.failed(address) for _ in range(11)] == [False] * 10 + [True]
    neighbour = "1.2.3.5" if "." in address else "2001:db8:1:3::1"
    assert not limiter.failed(neighbour)
    now[0] = 61.0
    assert not limiter.failed(address)
    for n in range(limits.MAX_ADDRESSES + 10):
        limiter.failed(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(limiter._windows) == limits.MAX_ADDRESSES
    assert limits.network_of("2001:db8:1:2::1") == limits.network_of("2001:db8:1:2:ffff::9")
