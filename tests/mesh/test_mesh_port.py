"""The second listener serves what other nodes need and nothing else, with the same checks."""

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from meshd_core.events import EventBus
from meshd_core.exit_codes import StartupError
from meshd_core.http.listen import listen
from meshd_core.mesh.mesh import Mesh
from tests.http.conftest import serving
from tests.mesh.conftest import checked

pytestmark = pytest.mark.anyio

SERVED = {
    ("GET", "/health"), ("GET", "/node"), ("GET", "/slots"), ("GET", "/slots/{slot}"), ("POST", "/inject/{slot}"),
    ("GET", "/injects/{id}"), ("DELETE", "/injects/{id}"), ("GET", "/output/{slot}"), ("GET", "/stream/{slot}"),
    ("GET", "/screen/{slot}"), ("GET", "/messages/{slot}"), ("POST", "/answer/{slot}"), ("GET", "/mesh/stream"),
}  # fmt: skip


async def test_only_what_other_nodes_need_is_served(short_tmp: Path) -> None:
    mesh = Mesh(checked("mac1", short_tmp, []), EventBus("mac1"), short_tmp)
    async with serving(short_tmp, mesh=mesh, mesh_port=0) as running:
        port = running.listeners.mesh_port
        assert port not in (None, running.port)
        peer = running.token("inject", "*")
        found = set()
        for spec in running.app.routes:
            path = spec.path.replace("{slot}", "nope").replace("{id}", "nope").replace("{kid}", "nope")
            for token in (running.admin, peer):
                status, code = await asyncio.to_thread(_ask, port, spec.method, path, token)
                if status != 404 or code != "not_found" or spec.path == "/tokens/{kid}":
                    found.add((spec.method, spec.path))
                assert spec.scope != "control" or code in ("not_found", "method_not_allowed"), spec.path
                assert spec.scope != "admin" or code in ("not_found", "method_not_allowed"), spec.path
            if spec.scope is not None:
                assert (await asyncio.to_thread(_ask, port, spec.method, path, None))[0] == 401
        found.discard(("DELETE", "/tokens/{kid}"))
        assert found == SERVED & {(spec.method, spec.path) for spec in running.app.routes}
        assert await asyncio.to_thread(_ask, port, "GET", "/attach/demo", running.admin) == (404, "not_found")
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        upgraded = await asyncio.to_thread(_ask, port, "GET", "/attach/demo", running.admin, headers)
        assert upgraded[0] != 101


async def test_a_token_for_a_node_reaches_no_control_and_no_administration(short_tmp: Path) -> None:
    async with serving(short_tmp) as running:
        peer = running.token("inject", "*@*")
        seen = 0
        for spec in running.app.routes:
            if spec.scope in ("approve", "control", "admin"):
                path = spec.path.replace("{slot}", "demo").replace("{kid}", "x")
                answer = await asyncio.to_thread(running.ask, spec.method, path, None, token=peer)
                assert (answer.status, answer.code) == (403, "forbidden"), spec.path
                seen += 1
        assert seen >= 10


def test_a_mesh_port_that_is_taken_is_told_at_once(short_tmp: Path) -> None:
    first = listen(["127.0.0.1"], 0, None, 0)
    try:
        with pytest.raises(StartupError, match="in use"):
            listen(["127.0.0.1"], 0, short_tmp / "x.sock", first.mesh_port)
        assert not (short_tmp / "x.sock").exists()
    finally:
        first.close()


def _ask(
    port: int, method: str, path: str, token: str | None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    given = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, headers={**given, **(headers or {})})
        answer = connection.getresponse()
        if answer.headers["Content-Type"].startswith("text/event-stream"):
            return answer.status, ""
        return answer.status, json.loads(answer.read()).get("error", {}).get("code", "")
    finally:
        connection.close()
