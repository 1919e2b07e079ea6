"""The sink against a scripted server: what is sent, what each answer leads to, and what is never shown."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from meshd_supabase import connection as connection_module
from meshd_supabase.connection import SupabaseConnection
from meshd_supabase.credentials import Claims, mint

from meshd_core.api import SinkBusy, SinkPaused, SinkRejected

pytestmark = pytest.mark.anyio

SECRET = "k3yboard-lantern-orchard-violet-98"
TOKEN = mint(Claims(node="n1"), SECRET)
Connect = Callable[..., SupabaseConnection]


@pytest.fixture
async def server(scripted: ModuleType) -> AsyncIterator[Any]:
    async with scripted.scripted_postgrest() as running:
        yield running


@pytest.fixture
def sink(server: Any, connect: Connect) -> SupabaseConnection:
    return connect(server.url, TOKEN, apikey="sb_publishable_x")


async def test_a_batch_is_a_few_upserts(server: Any, sink: SupabaseConnection, make: ModuleType) -> None:
    await sink.send([make.node(1), make.slot(2), make.slot(3, "s2"), make.heartbeat(4), make.inject(5), make.slot(6)])
    sent = [(seen.path, seen.query["on_conflict"], [row["seq"] for row in seen.rows]) for seen in server.seen]
    assert sent == [
        ("/rest/v1/meshd_nodes", "node", [1]),
        ("/rest/v1/meshd_nodes", "node", [4]),
        ("/rest/v1/meshd_slots", "node,slot", [6, 3]),
        ("/rest/v1/meshd_events", "id", [1, 2, 3, 4, 5, 6]),
    ]
    for seen in server.seen:
        assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
        assert seen.headers["apikey"] == "sb_publishable_x"
        assert seen.headers["Content-Type"] == "application/json"
        kind = "ignore" if seen.path.endswith("events") else "merge"
        assert seen.headers["Prefer"] == f"resolution={kind}-duplicates,return=minimal,missing=default"
        assert seen.query["columns"].split(",") == list(seen.rows[0])
        assert "Content-Profile" not in seen.headers
        assert "Cookie" not in seen.headers


async def test_a_schema_and_a_bare_postgrest(server: Any, connect: Connect, make: ModuleType) -> None:
    sink = connect(server.url, TOKEN, rest_path="", schema="meshd")
    await sink.send([make.inject(1)])
    assert server.seen[0].path == "/meshd_events"
    assert server.seen[0].headers["Content-Profile"] == "meshd"
    assert "apikey" not in server.seen[0].headers


async def test_the_first_answer_that_is_no_success_ends_the_batch(
    server: Any, sink: SupabaseConnection, make: ModuleType
) -> None:
    server.fail(400, {"code": "23514", "message": "violates check constraint"})
    with pytest.raises(SinkRejected, match="23514"):
        await sink.send([make.slot(1), make.inject(2)])
    assert len(server.seen) == 1


async def test_hosted_postgrests_500_21000_is_a_refusal_not_a_retry(
    server: Any, sink: SupabaseConnection, make: ModuleType
) -> None:
    server.fail(500, {"code": "21000", "message": "ON CONFLICT DO UPDATE command cannot affect row a second time"})
    with pytest.raises(SinkRejected):
        await sink.send([make.slot(1)])


async def test_the_server_s_wish_is_heard(server: Any, sink: SupabaseConnection, make: ModuleType) -> None:
    server.fail(429, {"message": "slow down"}, Retry_After="17")
    with pytest.raises(SinkBusy) as caught:
        await sink.send([make.inject(1)])
    assert caught.value.retry_after_s == 17


async def test_a_new_token_is_used_at_once(server: Any, connect: Connect, make: ModuleType) -> None:
    tokens = ["the-old-one", TOKEN]
    sink = connect(server.url, lambda: tokens[0])

    def answer(seen: Any) -> web.Response:
        if seen.headers["Authorization"] == f"Bearer {TOKEN}":
            return web.Response(status=201, headers={"Content-Range": "*/*"})
        return web.json_response({"code": "PGRST303", "message": "JWT expired"}, status=401)

    server.answer = answer
    with pytest.raises(SinkPaused, match="PGRST303: JWT expired; mint a new JWT"):
        await sink.send([make.inject(1)])
    tokens.pop(0)
    await sink.send([make.inject(1)])


async def test_a_secret_that_cannot_be_read_pauses(server: Any, connect: Connect, make: ModuleType) -> None:
    def read() -> str:
        raise ValueError("the secret file n1.jwt can't be read: Permission denied")

    sink = connect(server.url, read)
    with pytest.raises(SinkPaused, match=r"token: the secret file n1\.jwt can't be read"):
        await sink.send([make.inject(1)])
    assert server.seen == []


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (mint(Claims(node="n1", role="service_role"), SECRET), "service_role"),
        ("sb_secret_hushhushhush", "secret key"),
        (mint(Claims(node="n2"), SECRET), "'n2'"),
        ("two words", "one word"),
        ("line\r\nX-Injected: 1", "one word"),
        ("tokén", "one word"),
    ],
)
async def test_a_token_that_must_not_be_sent_is_not(
    server: Any, connect: Connect, make: ModuleType, token: str, reason: str
) -> None:
    sink = connect(server.url, token)
    with pytest.raises(SinkPaused) as caught:
        await sink.send([make.inject(1)])
    assert reason in str(caught.value)
    assert token not in str(caught.value)
    assert server.seen == []


async def test_an_opaque_token_is_the_receivers_business(server: Any, connect: Connect, make: ModuleType) -> None:
    sink = connect(server.url, "opaque")
    await sink.send([make.inject(1)])
    assert len(server.seen) == 1


async def test_a_redirect_is_not_followed(
    server: Any, scripted: ModuleType, connect: Connect, make: ModuleType
) -> None:
    async with scripted.scripted_postgrest() as other:
        server.fail(307, None, Location=f"{other.url}/rest/v1/meshd_events")
        sink = connect(server.url, TOKEN)
        with pytest.raises(SinkPaused, match="307"):
            await sink.send([make.inject(1)])
        assert other.seen == []


async def test_a_success_that_postgrest_did_not_tell_is_none(
    server: Any, sink: SupabaseConnection, make: ModuleType
) -> None:
    server.fail(200, "<html>welcome to the hotel's network</html>")
    with pytest.raises(SinkPaused, match="not as PostgREST does"):
        await sink.send([make.inject(1)])


async def test_a_server_that_hangs_costs_the_timeout(
    server: Any, scripted: ModuleType, sink: SupabaseConnection, make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "SILENCE_TIMEOUT_S", 1.0)
    server.answer = scripted.hang
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="no answer in time"):
        await sink.send([make.inject(1)])
    assert 0.9 < time.monotonic() - start < 10


async def test_a_server_that_is_not_there(connect: Connect, make: ModuleType) -> None:
    sink = connect("http://127.0.0.1:1", TOKEN)
    with pytest.raises(ConnectionError):
        await sink.send([make.inject(1)])


async def test_of_a_huge_answer_only_the_beginning_is_read(
    server: Any, sink: SupabaseConnection, make: ModuleType
) -> None:
    async def flood(seen: Any) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(seen.request)
        while True:  # until the client hangs up
            await response.write(b"x" * 65536)

    server.answer = flood
    with pytest.raises(SinkBusy):
        await asyncio.wait_for(sink.send([make.inject(1)]), 10)


async def test_a_compressed_answer_is_not_unpacked(server: Any, sink: SupabaseConnection, make: ModuleType) -> None:
    server.answer = lambda seen: web.Response(
        status=500, body=b"\x1f\x8b\x00 bomb", headers={"Content-Encoding": "gzip"}
    )
    with pytest.raises(SinkBusy):
        await sink.send([make.inject(1)])


async def test_credentials_are_in_no_message_log_or_repr(
    server: Any, connect: Connect, make: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []

    def echo(seen: Any) -> web.Response:
        said = {"code": "PGRST301", "message": f"bad {seen.headers['Authorization']} {seen.headers['apikey']}"}
        return web.json_response(said, status=401)

    def garbage(seen: Any) -> web.StreamResponse:
        raise ConnectionResetError(seen.headers["Authorization"])

    for answer in (echo, garbage):
        server.answer = answer
        sink = connect(server.url, TOKEN, apikey="sb_publishable_hush")
        with pytest.raises((SinkPaused, SinkBusy, ConnectionError)) as caught:
            await sink.send([make.inject(1)])
        shown += [str(caught.value), repr(caught.value), repr(sink), repr(vars(sink))]
    credentials = await asyncio.to_thread(sink._credentials)
    shown += [repr(credentials), str(credentials), f"{credentials!r}"]
    server_side = [record for record in caplog.records if record.name.startswith("aiohttp")]
    shown += [record.getMessage() for record in caplog.records if record not in server_side]
    for text in shown:
        assert TOKEN not in text
        assert TOKEN.split(".")[2] not in text


async def test_close_twice_and_before_use(connect: Connect) -> None:
    sink = connect("http://127.0.0.1:1", TOKEN)
    await sink.close()
    await sink.close()
