"""The client against a real server: typed answers, errors by their code, a timeout on every wait."""

import json
import socket
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshd_core import errors
from meshd_core.client import BadAnswer, MeshdClient, Unreachable
from meshd_core.client import connection as connection_module
from meshd_core.errors import InvalidField, MeshdError, SlotNotFound, Unauthorized
from meshd_core.types import BroadcastRequest, InjectRequest, MeshInjectRequest, Select

SELECTED = {
    "text": "x", "submit": True, "when": "now", "until": "accepted", "timeout_s": 30.0, "expires_s": 86400.0,
    "select": {"kind": "demo", "labels": {}, "node": None},
}  # fmt: skip


@pytest.fixture
def client(server: Any, connect: Any) -> Any:
    with connect(url=server.url, token="meshd_k_secret") as made:
        yield made


def test_a_slot_is_decoded_and_what_this_client_does_not_know_is_ignored(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    server.handle = lambda request, reply: reply.json({"slots": [scripted.SLOT], "more": 1})
    [slot] = client.slots(kind="demo", labels=["team:a b", "x:y"])
    assert (slot.address, slot.activity.evidence[0].rule) == ("demo@n1", "osc7501-idle")
    assert server.requests[0].target == "/slots?kind=demo&label=team%3Aa+b&label=x%3Ay"
    assert server.requests[0].headers["authorization"] == "Bearer meshd_k_secret"


def test_requests_share_one_connection(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    server.handle = lambda request, reply: reply.json(scripted.SLOT)
    for _ in range(5):
        client.slot("demo")
    assert server.connections == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_for_a_get(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    def handle(request: Any, reply: Any) -> None:
        if len(server.requests) == 2:
            reply.drop()
        else:
            reply.json(scripted.SLOT)

    server.handle = handle
    assert client.slot("demo").pid == client.slot("demo").pid
    assert server.connections == 2


def test_a_start_is_never_sent_twice(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    def handle(request: Any, reply: Any) -> None:
        reply.drop() if request.method == "POST" else reply.json(scripted.SLOT)

    server.handle = handle
    client.slot("demo")
    with pytest.raises(Unreachable):
        client.start("demo")
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_an_inject_that_lost_its_connection_is_repeated_with_the_same_key(
    server: Any, client: MeshdClient, scripted: ModuleType
) -> None:
    def handle(request: Any, reply: Any) -> None:
        if len(server.requests) == 2:
            reply.drop()
        else:
            reply.json(scripted.SLOT if request.method == "GET" else scripted.receipt("submitted"))

    server.handle = handle
    client.slot("demo")
    assert client.inject("demo", InjectRequest("hi")).stage == "submitted"
    first, second = server.requests[1:]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] and first.body == second.body
    assert json.loads(first.body)["until"] == "submitted"


def test_names_stay_in_their_segment_of_the_path(server: Any, client: MeshdClient) -> None:
    with pytest.raises(MeshdError):
        client.screen("../node?x=1#y\r\nz@other")
    assert server.requests[0].target == "/screen/..%2Fnode%3Fx%3D1%23y%0D%0Az@other"


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MeshdError) and kind is not MeshdError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_each_error_comes_back_as_its_own_class(server: Any, client: MeshdClient, kind: Any) -> None:
    details = {"slot": "x", "message": "m", "hint": "h"}
    server.handle = lambda request, reply: reply.error(kind.status, kind.code, "so", hint="do", details=details)
    with pytest.raises(kind) as caught:
        client.slot("demo")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.message, error.hint) == (kind.code, kind.status, "so", "do")
    assert (str(error), error.details) == ("so", details)


def test_an_unknown_code_is_a_plain_error_with_that_code(server: Any, client: MeshdClient) -> None:
    server.handle = lambda request, reply: reply.error(418, "teapot")
    with pytest.raises(MeshdError) as caught:
        client.node()
    assert type(caught.value) is MeshdError
    assert (caught.value.code, caught.value.status) == ("teapot", 418)
    assert (MeshdError.code, MeshdError.status) == ("internal", 500)


def test_a_known_error_without_a_hint_keeps_the_one_of_its_class(server: Any, client: MeshdClient) -> None:
    server.handle = lambda request, reply: reply.error(401, "unauthorized")
    with pytest.raises(Unauthorized) as caught:
        client.node()
    assert caught.value.hint == Unauthorized.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\x00",
        b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\n<ht>",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200000,
    ],
)
def test_something_that_is_not_meshd_is_a_bad_answer(server: Any, client: MeshdClient, answer: bytes) -> None:
    def handle(request: Any, reply: Any) -> None:
        reply.raw(answer)
        reply.drop()

    server.handle = handle
    with pytest.raises(BadAnswer):
        client.node()


def test_an_answer_that_breaks_off_counts_as_no_answer(server: Any, client: MeshdClient) -> None:
    def handle(request: Any, reply: Any) -> None:
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        reply.drop()

    server.handle = handle
    with pytest.raises(Unreachable, match="closed before the answer was complete"):
        client.node()


def test_a_daemon_that_never_answers_is_given_up(
    server: Any, client: MeshdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd_core.client.call.ANSWER_TIMEOUT_S", 0.2)
    server.handle = lambda request, reply: reply.until_closed()
    with pytest.raises(Unreachable, match=r"no answer (within|in time)"):
        client.slot("demo", wait_for=["idle"], wait_s=0.1)
    assert server.requests[0].target == "/slots/demo?wait_for=idle&wait_s=0.1"


def test_a_port_where_nothing_listens_is_unreachable_and_says_how_to_start(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with connect(url=url) as client, pytest.raises(Unreachable, match="nothing listens there") as caught:
        client.health()
    assert url in str(caught.value)
    assert "meshd serve" in str(caught.value.hint)


def test_a_socket_that_is_not_there_is_unreachable(short_tmp: Path, connect: Any) -> None:
    with connect(socket=short_tmp / "none.sock") as client, pytest.raises(Unreachable, match="no such socket"):
        client.health()


@pytest.mark.parametrize("folder", ["s", "a-folder-with-a-long-name-" * 6])
def test_a_unix_socket_is_reached_whatever_the_length_of_its_path(
    short_tmp: Path, scripted: ModuleType, connect: Any, folder: str
) -> None:
    place = short_tmp / folder
    place.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    with connection_module.socket_address(place / "meshd.sock") as address:
        listener.bind(address)
    listener.listen()
    server = scripted.ScriptedServer(listener).start()
    server.handle = lambda request, reply: reply.json({"status": "ok"})
    try:
        with connect(socket=place / "meshd.sock") as client:
            assert client.is_local
            assert client.health().status == "ok"
            with connect(socket=place / "meshd.sock") as second:
                assert second.health().status == "ok"
        assert "authorization" not in server.requests[0].headers
    finally:
        server.close()


def test_draining_is_a_health_not_an_error(server: Any, client: MeshdClient) -> None:
    server.handle = lambda request, reply: reply.json({"status": "draining"}, 503)
    assert client.health().status == "draining"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"url": "http://h", "socket": Path("x")},
        {"url": "127.0.0.1:9451"},
        {"url": "ftp://host"},
        {"url": "http://user:pw@host"},
        {"url": "http://h/?token=x"},
        {"url": "http://h:99999"},
        {"url": "http://h", "token": "a\r\nX: y"},
        {"url": "http://h", "token": ""},
        {"url": "http://h", "token": "ä"},
    ],
)
def test_a_wrong_address_or_token_is_refused_before_anything_is_sent(connect: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        connect(**arguments)


def test_every_route_is_called_as_the_protocol_says(server: Any, client: MeshdClient, scripted: ModuleType) -> None:
    def handle(request: Any, reply: Any) -> None:
        reply.error(422, "invalid_field")

    server.handle = handle
    selected = MeshInjectRequest(text="x", until="accepted", select=Select(kind="demo"))
    to_all = BroadcastRequest(text="x", until="accepted", select=Select(kind="demo"))
    to_all = BroadcastRequest(text="x", until="accepted", select=Select(kind="demo"))
    calls: list[tuple[Any, str, Any]] = [
        (lambda: client.receipt("01J@n1"), "GET /injects/01J@n1", None),
        (lambda: client.cancel("01J@n1"), "DELETE /injects/01J@n1", None),
        (
            lambda: client.output("d", since="oldest", limit=5, wait_s=2),
            "GET /output/d?since=oldest&limit=5&wait_s=2",
            None,
        ),
        (lambda: client.screen("d@n2"), "GET /screen/d@n2", None),
        (lambda: client.messages("d", before="m/1", limit=5), "GET /messages/d?before=m%2F1&limit=5", None),
        (lambda: client.start("d", resume=True), "POST /start/d", {"resume": True}),
        (lambda: client.stop("d", grace_s=1), "POST /stop/d", {"grace_s": 1}),
        (lambda: client.restart("d"), "POST /restart/d", {"resume": False, "grace_s": None}),
        (lambda: client.keys("d", ["Escape", "C-c"]), "POST /keys/d", {"keys": ["Escape", "C-c"], "bytes_b64": None}),
        (lambda: client.raw_keys("d", b"\x1b"), "POST /keys/d", {"keys": None, "bytes_b64": "Gw=="}),
        (lambda: client.interrupt("d"), "POST /interrupt/d", {}),
        (lambda: client.answer("d", "d3", "accept"), "POST /answer/d", {"dialog_id": "d3", "choice": "accept"}),
        (lambda: client.resize("d", 30, 100), "POST /resize/d", {"rows": 30, "cols": 100}),
        (lambda: client.ticket("/attach/d?mode=view"), "POST /tickets", {"path": "/attach/d?mode=view"}),
        (lambda: client.node(), "GET /node", None),
        (lambda: client.plugins(), "GET /plugins", None),
        (lambda: client.openapi(), "GET /openapi.json", None),
        (lambda: client.metrics(), "GET /metrics", None),
        (lambda: client.reload(restart="changed"), "POST /reload", {"restart": "changed", "stop_removed": False}),
        (lambda: client.shutdown("keep"), "POST /shutdown", {"agents": "keep"}),
        (lambda: client.tokens(), "GET /tokens", None),
        (
            lambda: client.create_token("read", slots=["a*"], expires="1d"),
            "POST /tokens",
            {"scope": "read", "slots": ["a*"], "label": None, "expires": "1d"},
        ),
        (lambda: client.revoke_token("ab"), "DELETE /tokens/ab", None),
        (lambda: client.mesh_nodes(), "GET /mesh/nodes", None),
        (lambda: client.mesh_slots(activity="idle", labels=["a:b"]), "GET /mesh/slots?activity=idle&label=a%3Ab", None),
        (lambda: client.mesh_inject(selected), "POST /mesh/inject", SELECTED),
        (lambda: client.mesh_broadcast(to_all), "POST /mesh/broadcast", SELECTED | {"when": "idle"}),
        (lambda: client.sinks(), "GET /sinks", None),
    ]  # fmt: skip
    for call, expected, body in calls:
        with pytest.raises(InvalidField):
            call()
        sent = server.requests[-1]
        assert f"{sent.method} {sent.target}" == expected
        assert (json.loads(sent.body) if sent.body else None) == body
        assert (sent.headers.get("content-type") == "application/json") == (body is not None)


def test_clients_of_several_threads_do_not_mix_their_answers(server: Any, scripted: ModuleType) -> None:
    server.handle = lambda request, reply: reply.json({**scripted.SLOT, "name": request.path.rpartition("/")[2]})
    with MeshdClient(url=server.url) as first:
        wrong: list[str] = []

        def ask(name: str) -> None:
            with first.another() as client:
                wrong.extend(name for _ in range(20) if client.slot(name).name != name)

        threads = [threading.Thread(target=ask, args=(f"s{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not wrong


def test_a_missing_slot_says_so(server: Any, client: MeshdClient) -> None:
    server.handle = lambda request, reply: reply.error(404, "slot_not_found", "there is no slot 'demi' here")
    with pytest.raises(SlotNotFound, match="no slot 'demi'"):
        client.slot("demi")


@pytest.mark.parametrize("key", ["", "two words", "a\tb", "ä", "x" * 201])
def test_a_key_that_the_daemon_would_not_take_is_not_sent(server: Any, client: MeshdClient, key: str) -> None:
    with pytest.raises(InvalidField, match="without blanks"):
        client.inject("demo", InjectRequest("hi"), key=key)
    assert server.requests == []
