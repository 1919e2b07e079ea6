"""Both clients against a real daemon: every route there is has a method, and a stream outlives the daemon."""

import inspect
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from meshd_core.client import AsyncMeshdClient, MeshdClient
from meshd_core.client.call import Call
from meshd_core.errors import DialogChanged, InjectNotCancellable, SlotNotFound, Unauthorized
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import BroadcastRequest, InjectRequest, Line, MeshInjectRequest, MeshState

SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'
NOT_CALLED = {("GET", "/stream/{slot}"), ("GET", "/mesh/stream"), ("GET", "/attach/{slot}")}
"""Streams are no single calls."""

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "slot": ("X",), "start": ("X",), "stop": ("X",), "restart": ("X",), "inject": ("X", InjectRequest(text="x")),
    "receipt": ("X",), "cancel": ("X",), "output": ("X",), "screen": ("X",), "messages": ("X",), "keys": ("X", ["a"]),
    "raw_keys": ("X", b"a"), "interrupt": ("X",), "answer": ("X", "d", "deny"), "resize": ("X", 9, 99),
    "ticket": ("/",), "create_token": ("read",), "revoke_token": ("X",),
    "mesh_inject": (MeshInjectRequest(text="x"),), "mesh_broadcast": (BroadcastRequest(text="x"),),
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with tempfile.TemporaryDirectory(prefix="m-") as folder, DaemonProcess(Path(folder), SLOT) as running:
        yield running


@pytest.fixture
def client(daemon: DaemonProcess, connect: Any) -> Iterator[MeshdClient]:
    with connect(socket=daemon.runtime / "meshd.sock") as made:
        yield made


def calls() -> Iterator[Call[Any]]:
    """What each method of the client would send."""

    class Kept(MeshdClient):
        def execute(self, call: Call[Any]) -> Any:
            return call

    with Kept(url="http://h") as kept:
        for name in public(MeshdClient) - OTHERS:
            yield getattr(kept, name)(*ARGUMENTS.get(name, ()))


OTHERS = {"address", "another", "is_local", "close", "execute", "follow", "stream", "mesh_stream", "attach"}


def public(shape: type) -> set[str]:
    return {name for name in vars(shape) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(MeshdClient) - {"another", "attach"} == public(AsyncMeshdClient)


def test_help_says_what_a_method_gives() -> None:
    """Not what carries it out: `help(MeshdClient.slots)` is what a person reads first."""
    found = {}
    for client in (MeshdClient, AsyncMeshdClient):
        for name in ("slots", "slot", "stream"):
            found[client, name] = inspect.signature(getattr(client, name)).return_annotation
    assert found == {
        (MeshdClient, "slots"): "list[Slot]", (MeshdClient, "slot"): "SlotDetail",
        (MeshdClient, "stream"): "Iterator[Event]", (AsyncMeshdClient, "slots"): "list[Slot]",
        (AsyncMeshdClient, "slot"): "SlotDetail", (AsyncMeshdClient, "stream"): "AsyncIterator[Event]",
    }  # fmt: skip


def test_every_route_of_the_daemon_has_a_method(client: MeshdClient) -> None:
    called = {(call.method, call.target.partition("?")[0].replace("/X", "/{}")) for call in calls()}
    for path, methods in client.openapi()["paths"].items():
        for method in methods:
            route = (method.upper(), path)
            if route not in NOT_CALLED and not path.startswith("/x/"):
                assert (method.upper(), path.partition("{")[0] + "{}" if "{" in path else path) in called, route


def test_a_prompt_a_dialog_and_the_terminal(client: MeshdClient) -> None:
    assert client.slot("demo", wait_for=["idle"], wait_s=20).activity.state == "idle"
    key = f"k{time.time_ns()}"
    told = client.inject("demo", InjectRequest(text="hello", until="completed"), key=key)
    assert told.reply == "echo: hello"
    assert client.inject("demo", InjectRequest(text="hello", until="completed"), key=key).id == told.id
    with pytest.raises(InjectNotCancellable):
        client.cancel(told.id)
    client.inject("demo", InjectRequest(text="ask"))
    dialog = client.slot("demo", wait_for=["waiting"], wait_s=20).dialog
    assert dialog is not None
    with pytest.raises(DialogChanged):
        client.answer("demo", "d0-other", "deny")
    assert client.answer("demo", dialog.id, "deny").closed
    assert client.resize("demo", 30, 100).size.rows == 30
    assert client.keys("demo", ["x"]).bytes_written == client.raw_keys("demo", b"y").bytes_written == 1
    started = client.interrupt("demo").pid
    assert client.restart("demo").pid != started


def test_what_a_token_may_and_may_not(client: MeshdClient, daemon: DaemonProcess, connect: Any) -> None:
    made = client.create_token("read", slots=["other"])
    with connect(url=f"http://127.0.0.1:{daemon.port}", token=made.token) as other:
        assert other.slots() == []
        with pytest.raises(SlotNotFound):
            other.slot("demo")
        assert client.revoke_token(made.kid).kid == made.kid
        with pytest.raises(Unauthorized):
            other.node()
    assert made.kid not in {token.kid for token in client.tokens()}


def test_a_stream_goes_on_after_the_daemon_was_killed(client: MeshdClient, daemon: DaemonProcess) -> None:
    begin = client.slot("demo", wait_for=["idle"], wait_s=20).output.last_id
    client.inject("demo", InjectRequest(text="lines 60 20"))
    stream = client.stream("demo", since=begin, events=["line"], deadline_s=60)
    wanted = (event.data.text for event in stream if isinstance(event.data, Line) and event.data.text[:5] == "line ")
    found = list(islice(wanted, 10))
    daemon.kill()
    daemon.start()
    assert found + list(islice(wanted, 50)) == [f"line {number}" for number in range(1, 61)]
    stream.close()


def test_the_stream_of_all_nodes_tells_every_state_again_after_the_daemon_was_killed(
    client: MeshdClient, daemon: DaemonProcess
) -> None:
    stream = client.mesh_stream(deadline_s=60)
    states = (event.data for event in stream if isinstance(event.data, MeshState))
    assert next(states).address == "demo@test"
    daemon.kill()
    daemon.start()
    assert next(state for state in states if state.activity.state == "idle").address == "demo@test"
    client.inject("demo", InjectRequest(text="hello"))
    assert any(event.type == "inject" for event in stream)
    stream.close()


def test_a_program_that_is_not_async_does_not_load_the_async_client() -> None:
    program = (
        "import sys; from meshd_core.client import MeshdClient; "
        "sys.exit(str(set(sys.modules) & {'aiohttp', 'asyncio', 'starlette', 'uvicorn'}) if "
        "'aiohttp' in sys.modules or 'asyncio' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
