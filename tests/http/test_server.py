"""Listening, and ending: sockets, addresses, and what holds up a daemon's end."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.http.listen import listen

pytestmark = pytest.mark.anyio


async def test_port_0_picks_one_port_for_all_addresses() -> None:
    listeners = listen(["127.0.0.1", "::1"], 0, None)
    try:
        assert {sock.getsockname()[1] for sock in listeners.tcp} == {listeners.port}
        assert listeners.urls == (f"http://127.0.0.1:{listeners.port}", f"http://[::1]:{listeners.port}")
        assert listeners.local
    finally:
        listeners.close()


async def test_all_interfaces_are_not_local() -> None:
    listeners = listen(["0.0.0.0", "::"], 0, None)
    try:
        assert not listeners.local
        assert listeners.urls[0] == f"http://127.0.0.1:{listeners.port}"
    finally:
        listeners.close()


async def test_a_port_in_use_is_told_with_its_owner_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StartupError, match=rf"127.0.0.1:{port} is in use by .*pid {os.getpid()}.*\[node\]"
        ) as found:
            listen(["127.0.0.1", "::1"], port, None)
    assert found.value.exit_code == ExitCode.PORT_IN_USE


@pytest.mark.parametrize(("address", "reason"), [("192.0.2.1", "no address 192.0.2.1"), ("mac1.local", "not an IP")])
async def test_an_address_that_is_not_ours_is_told(address: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason):
        listen([address], 0, None)


async def test_the_unix_socket_is_private_under_any_umask_and_replaces_a_dead_one(short_tmp: Path) -> None:
    path = short_tmp / "meshd.sock"
    old = os.umask(0)
    try:
        listen([], 0, path).unix.close()  # type: ignore[union-attr]  # a daemon that died
        listeners = listen([], 0, path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert listeners.local
    listeners.close()
    assert not path.exists()


async def test_a_long_path_of_the_unix_socket_works(short_tmp: Path) -> None:
    folder = short_tmp / ("d" * 120)
    folder.mkdir()
    listeners = listen([], 0, folder / "meshd.sock")
    assert (folder / "meshd.sock").is_socket()
    listeners.close()


async def test_a_unix_socket_that_cannot_be_made_is_told(short_tmp: Path) -> None:
    with pytest.raises(StartupError, match="--runtime-dir"):
        listen(["127.0.0.1"], 0, short_tmp / "missing" / "meshd.sock")


async def test_the_end_answers_long_waits_and_lets_idle_connections_go(short_tmp: Path) -> None:
    from tests.http.conftest import serving

    async with serving(short_tmp) as running:
        auth = f"Host: localhost\r\nAuthorization: Bearer {running.admin}\r\n\r\n"
        waiting = await asyncio.open_connection("127.0.0.1", running.port)
        waiting[1].write(f"GET /slots/demo?wait_for=busy&wait_s=600 HTTP/1.1\r\n{auth}".encode())
        idle = await asyncio.open_connection("127.0.0.1", running.port)
        idle[1].write(f"GET /health HTTP/1.1\r\n{auth}".encode())
        await idle[0].readuntil(b"\r\n\r\n")
        begun = asyncio.get_running_loop().time()
        running.server.stop()
        answer = await waiting[0].read()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"draining"' in answer
        await idle[0].read()
        assert asyncio.get_running_loop().time() - begun < 3
        for _, writer in (waiting, idle):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_request_that_hangs_is_cancelled_at_the_end(short_tmp: Path) -> None:
    from tests.http.conftest import serving
    from tests.http.memory_node import MemoryNode

    class Hanging(MemoryNode):
        async def stop(self, name: str, request: object) -> None:  # type: ignore[override]
            await asyncio.Event().wait()

    async with serving(short_tmp, Hanging()) as running:
        running.server.config.timeout_graceful_shutdown = 1
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = f"POST /stop/demo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.admin}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            while not running.server.server_state.tasks:
                await asyncio.sleep(0.01)
        running.server.stop()
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_an_answer_does_not_wait_for_the_clients_acknowledgement(short_tmp: Path) -> None:
    from tests.http.conftest import serving

    async with serving(short_tmp) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        times = []
        for _ in range(20):
            begun = asyncio.get_running_loop().time()
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b'{"status":"ok"}')
            times.append(asyncio.get_running_loop().time() - begun)
        assert min(times) < 0.03, "40 ms would be Nagle's algorithm against delayed acknowledgements"
        writer.close()
        await writer.wait_closed()
