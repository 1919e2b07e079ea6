"""Attacks on what stands before every route, with raw sockets, on every listener."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Running = Any
Serve = Callable[..., Any]
TCP = ("v4", "v6")


def paths(running: Running) -> list[tuple[str, str]]:
    fill = {"{slot}": "demo", "{id}": "x@mac1", "{kid}": "00000000"}
    found = []
    for spec in running.app.routes:
        path = spec.path
        for name, value in fill.items():
            path = path.replace(name, value)
        found.append((spec.method, path))
    return found


def test_no_route_but_health_answers_without_a_credential(running: Running) -> None:
    asked = [route for route in paths(running) if route != ("GET", "/health")]
    assert len(asked) >= 18
    for family in TCP:
        for method, path in asked:
            answer = running.ask(method, path, token=None, family=family)
            assert (answer.status, answer.code) == (401, "unauthorized"), (family, method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["meshd-request-id"]
        assert running.ask("GET", "/health", token=None, family=family).json == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nope"), ("PUT", "/slots"), ("POST", "/health"), ("GET", "/slots/"), ("BREW", "/")]
)
def test_401_comes_before_404_and_405(running: Running, method: str, path: str) -> None:
    assert running.ask(method, path, token=None).status == 401


@pytest.mark.parametrize("scope", ["read", "inject", "approve", "control"])
def test_a_scope_that_is_too_low_is_refused_and_the_needed_one_named(running: Running, scope: str) -> None:
    order = ["read", "inject", "approve", "control", "admin"]
    token = running.token(scope, "*@*")
    for spec, (method, path) in zip(running.app.routes, paths(running), strict=True):
        if spec.scope is None or order.index(spec.scope) <= order.index(scope):
            continue
        answer = running.ask(method, path, token=token)
        assert (answer.status, answer.code) == (403, "forbidden"), (method, path)
        assert answer.json["error"]["details"]["needed"] == spec.scope


def test_a_slot_out_of_reach_is_not_found_and_not_named(running: Running) -> None:
    token = running.token("control", "other")
    assert [slot["name"] for slot in running.ask("GET", "/slots", token=token).json["slots"]] == ["other"]
    receipt = running.ask("POST", "/inject/demo", {"text": "x"}).json["id"]
    hidden = [
        running.ask("GET", path, token=token)
        for path in ("/slots/demo", "/output/demo", "/stream/demo", "/screen/demo", "/slots/nope", "/slots/othe")
    ]
    hidden += [running.ask("POST", f"/{what}/demo", token=token) for what in ("start", "stop", "restart")]
    hidden.append(running.ask("POST", "/inject/demo", {"text": "x"}, token=token))
    for answer in hidden:
        assert (answer.status, answer.code) == (404, "slot_not_found")
        assert "did you mean" not in answer.body.decode()
    for method in ("GET", "DELETE"):
        out_of_reach, none = (running.ask(method, f"/injects/{id}", token=token) for id in (receipt, "01JD0@test"))
        assert (out_of_reach.code, out_of_reach.json["error"]) == ("inject_not_found", none.json["error"])
    ticket = running.ask("POST", "/tickets", {"path": "/attach/demo"}, token=token)
    assert (ticket.code, ticket.json["error"]["details"]) == ("slot_not_found", {"slot": "demo"})
    assert len(running.node.typed) == 1
    assert not running.node.calls


def test_slots_out_of_reach_are_not_counted(running: Running) -> None:
    def counted(*globs: str) -> object:
        return running.ask("GET", "/node", token=running.token("read", *globs)).json["slots"]

    assert counted("other") == {"total": 1, "by_status": {"running": 1}, "by_activity": {"idle": 1}}
    assert counted("*@mac2") == {"total": 0, "by_status": {}, "by_activity": {}}
    assert counted("*") == {"total": 3, "by_status": {"running": 3}, "by_activity": {"idle": 3}}


def test_a_glob_of_another_node_reaches_nothing_here(running: Running) -> None:
    token = running.token("admin", "*@mac2")
    assert running.ask("GET", "/slots", token=token).json["slots"] == []
    assert running.ask("GET", "/slots/demo", token=token).status == 404


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer ÿþ",
        "Basic YTpi",
        "Bearer meshd_aaaaaaaa_" + "é" * 43,
        "Bearer meshd_" + "a" * 10000,
        "Bearer meshd_aaaaaaaa_" + "a" * 43,
        "Bearer ' OR 1=1",
        "Bearer meshd_a\tb",
    ],
)
def test_a_malformed_credential_is_401_never_500(running: Running, header: str) -> None:
    answer = running.ask("GET", "/slots", token=None, headers={"Authorization": header})
    assert (answer.status, answer.code) == (401, "unauthorized")


def test_two_authorization_headers_are_refused_even_if_one_is_good(running: Running) -> None:
    head = f"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.admin}\r\n"
    for second in ("Bearer x", f"Bearer {running.admin}"):
        assert raw(running, f"{head}Authorization: {second}\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 401")


def test_a_token_in_the_query_or_a_cookie_is_no_credential(running: Running) -> None:
    for name in ("token", "access_token", "ticket", "authorization"):
        assert running.ask("GET", f"/slots?{name}={running.admin}", token=None).status == 401
    assert running.ask("GET", "/slots", token=None, headers={"Cookie": f"token={running.admin}"}).status == 401


FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "mac1.evil.example",
    "evil.example:9451",
    "localhost@evil.example",
    "[::1].evil.example",
    "[::2]",
    "10.0.0.1",
    "0.0.0.0",
    "localhost:80:80",
    "a b",
]


def test_a_host_that_is_not_ours_is_refused(running: Running) -> None:
    for host in FOREIGN_HOSTS:
        for path in ("/health", "/slots", "/nope"):
            answer = running.ask("GET", path, headers={"Host": host})
            assert (answer.status, answer.code) == (421, "host_not_allowed"), (host, path)


def test_our_own_hosts_are_accepted_in_every_spelling(running: Running) -> None:
    for host in ("localhost", "LOCALHOST:1", "localhost.", "mac1", "MAC1.:9451", "127.0.0.1", "[::1]:9451"):
        for family in TCP:
            assert running.ask("GET", "/slots", headers={"Host": host}, family=family).status == 200, host


def test_a_duplicate_or_missing_host_and_an_absolute_uri_are_refused(running: Running) -> None:
    auth = f"Authorization: Bearer {running.admin}\r\nConnection: close\r\n\r\n"
    assert raw(running, f"GET /slots HTTP/1.1\r\n{auth}").startswith(b"HTTP/1.1 400")
    assert raw(running, f"GET /slots HTTP/1.0\r\n{auth}").startswith(b"HTTP/1.1 421")
    twice = raw(running, f"GET /slots HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n{auth}")
    assert twice.startswith(b"HTTP/1.1 400")
    assert json.loads(twice.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert b"meshd-request-id" in twice
    for target in ("http://evil.example/slots", "http://localhost/slots"):
        assert raw(running, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{auth}").startswith(b"HTTP/1.1 421")
    assert raw(running, f"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n{auth}").startswith(b"HTTP/1.1 400")


FOREIGN_ORIGINS = [
    "http://evil.example",
    "null",
    "http://localhost.evil.example",
    "https://localhost:9451",
    "file://",
    "http://",
    "http://localhost@evil.example",
    "http://127.0.0.1",
    "chrome-extension://abc",
]


def test_a_foreign_origin_is_refused_on_every_method(running: Running) -> None:
    for origin in FOREIGN_ORIGINS:
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            answer = running.ask(method, "/slots", headers={"Origin": origin})
            assert (answer.status, answer.code) == (403, "origin_not_allowed"), (origin, method)
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_preflight_of_a_foreign_origin_allows_nothing(running: Running) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = running.ask("OPTIONS", "/inject/demo", token=None, headers=headers)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_origin_that_the_configuration_allows_may_ask(serve: Serve) -> None:
    with serve(origins=["https://board.example"], hosts=["mac1.tail.example"]) as running:
        headers = {"Origin": "https://board.example", "Access-Control-Request-Method": "POST"}
        preflight = running.ask("OPTIONS", "/inject/demo", token=None, headers=headers)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == "https://board.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        with_credential = running.ask("GET", "/slots", headers={"Origin": "https://board.example"})
        assert with_credential.status == 200
        assert with_credential.headers["access-control-allow-origin"] == "https://board.example"
        without = running.ask("GET", "/slots", token=None, headers={"Origin": "https://board.example"})
        assert without.status == 401
        assert running.ask("GET", "/slots", headers={"Host": "mac1.tail.example"}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", None])
def test_a_websocket_handshake_gets_no_further_than_any_request(running: Running, origin: str | None) -> None:
    headers = {
        "Connection": "Upgrade, close",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    } | ({} if origin is None else {"Origin": origin})
    assert running.ask("GET", "/attach/demo", token=None, headers=headers).status == (403 if origin else 401)


def test_what_a_client_claims_about_its_address_is_never_shown_to_a_provider(serve: Serve, short_tmp: Path) -> None:
    from meshd_core.contracts.auth import AuthProvider, Caller, Principal

    seen: list[Caller] = []

    class Watching(AuthProvider):
        name = "watching"

        async def authenticate(self, caller: Caller) -> Principal | None:
            seen.append(caller)
            return None

    with serve(providers=[Watching()]) as running:
        spoofed = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Real-Ip": "1.2.3.4"}
        running.ask("GET", "/slots", token=None, headers=spoofed | {"Tailscale-User-Login": "root@example"})
    (caller,) = seen
    assert caller.peer == "127.0.0.1"
    assert not [value for value in caller.headers.values() if "1.2.3.4" in value or "root@" in value]


def test_brute_force_is_slowed_and_a_good_credential_never_locked_out(running: Running) -> None:
    answers = [running.ask("GET", "/slots", token=f"meshd_aaaaaaaa_{'a' * 42}{n % 10}") for n in range(14)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 4
    assert answers[-1].code == "too_many_failures"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert running.ask("GET", "/slots").status == 200
    assert running.ask("GET", "/slots", token=None).status == 401, "an absent credential is not a wrong one"
    assert running.ask("GET", "/slots", token="meshd_bad", family="v6").status == 401, "another address"


def test_the_unix_socket_makes_its_owner_admin(running: Running) -> None:
    assert running.unix_path.stat().st_mode & 0o777 == 0o600
    assert running.ask("GET", "/tokens", token=None, family="unix").status == 200
    assert running.ask("GET", "/tokens", token=None, family="unix", headers={"Host": "whatever"}).status == 200


def test_a_process_of_a_slot_gets_nothing_through_the_unix_socket_without_a_token(running: Running) -> None:
    import os

    running.node.slot_pids[os.getpid()] = "demo"
    for method, path in paths(running):
        if path != "/health":
            assert running.ask(method, path, token=None, family="unix").status == 403, path
    token = running.token("read", "demo")
    assert running.ask("GET", "/slots/demo", token=token, family="unix").status == 200
    assert running.ask("GET", "/tokens", token=token, family="unix").status == 403


def test_an_error_inside_shows_no_trace(running: Running) -> None:
    running.node.broken = True
    answer = running.ask("GET", "/slots/demo")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret-of-the-trace" not in answer.body
    plugin = running.ask("GET", "/x/toy/broken")
    assert (plugin.status, plugin.code) == (500, "internal")
    assert b"secret-of-the-plugin" not in plugin.body


def test_tokens_are_made_listed_and_revoked_over_http(running: Running) -> None:
    made = running.ask("POST", "/tokens", {"scope": "read", "slots": ["demo"], "label": "x", "expires": "1h"})
    assert made.status == 201
    credential, kid = made.json["token"], made.json["kid"]
    assert running.ask("GET", "/slots/demo", token=credential).status == 200
    listed = running.ask("GET", "/tokens")
    assert kid in [token["kid"] for token in listed.json["tokens"]]
    assert credential not in listed.body.decode()
    assert running.ask("DELETE", f"/tokens/{kid}").json["kid"] == kid
    assert running.ask("GET", "/slots/demo", token=credential).status == 401
    assert running.ask("DELETE", f"/tokens/{kid}").status == 404
    assert running.ask("POST", "/tokens", {"scope": "root"}).code == "invalid_field"
    assert running.ask("POST", "/tokens", {"scope": "read", "expires": "soon"}).code == "invalid_field"


def raw(running: Running, request: str) -> bytes:
    """Send exactly this and read until the server closes."""
    with running.connect() as sock:
        sock.sendall(request.encode("latin-1"))
        sock.settimeout(20)
        parts = []
        started = time.monotonic()
        while data := sock.recv(65536):
            parts.append(data)
            assert time.monotonic() - started < 20
        return b"".join(parts)
