"""Every process of a run is found and ended, wherever it hid, and nobody else's."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

DETACHED = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print("ready", flush=True)
time.sleep(600)
"""
BARE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


async def swept(client, run: str) -> None:
    async with asyncio.timeout(10):
        while await client.sweep(run, signal.SIGKILL):
            await asyncio.sleep(0.01)


async def test_an_orphan_in_its_own_session_is_swept_after_its_agent(bench):
    client = await bench.connect()
    info, fd = await bench.python(client, DETACHED)
    other, _ = await bench.sh(client, "exec sleep 600")
    await bench.read_until(fd, b"ready")
    pids = await client.processes(info.run)
    assert len(pids) == 2
    assert info.pid in pids
    assert await client.kill(info.run, signal.SIGKILL)
    await bench.exited(client, info.run)
    [orphan] = await client.processes(info.run)
    # It became the keeper's, which reaps it.
    assert f"PPid:\t{client.keeper_pid}" in Path(f"/proc/{orphan}/status").read_text()
    await client.forget(info.run)
    await swept(client, info.run)
    await bench.until(lambda: not os.path.exists(f"/proc/{orphan}"), "the orphan reaped")
    assert await client.processes(other.run) == [other.pid]


async def test_a_child_that_cleared_its_environment_is_swept_with_its_parent(bench):
    client = await bench.connect()
    info, fd = await bench.python(client, BARE)
    await bench.read_until(fd, b"ready")
    pids = await client.processes(info.run)
    assert len(pids) == 2
    await swept(client, info.run)
    for pid in pids:
        await bench.until(lambda pid=pid: bench.gone(pid), "its end")


async def test_an_agent_that_ignores_sigterm_ends_by_sigkill(bench):
    client = await bench.connect()
    info, fd = await bench.python(client, STUBBORN)
    await bench.read_until(fd, b"ready")
    assert await client.kill(info.run, signal.SIGTERM)
    assert await client.sweep(info.run, 0) == 1
    assert await client.processes(info.run) == [info.pid]
    assert await client.kill(info.run, signal.SIGKILL)
    assert (await bench.exited(client, info.run)).signal == signal.SIGKILL
    assert not await client.kill(info.run, signal.SIGKILL)


async def test_the_exit_of_an_agent_is_told_though_a_grandchild_keeps_its_terminal(bench):
    client = await bench.connect()
    info, _ = await bench.sh(client, f"trap '' HUP; {sys.executable} -c 'import time; time.sleep(600)' & exit 4")
    assert (await bench.exited(client, info.run)).code == 4
    assert len(await client.processes(info.run)) == 1
    await swept(client, info.run)
