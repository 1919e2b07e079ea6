"""The keeper starts agents: exactly what was asked, nothing of its own, and nothing left after a failure."""

import asyncio
import json
import os
import stat
import statistics
import sys
import time
from pathlib import Path

import pytest

from meshd_core.pty.client import KeeperClient
from meshd_core.pty.errors import KeeperError, SpawnError, UnknownRun

pytestmark = pytest.mark.anyio

LOOK = """
import json, os, signal, sys
print(json.dumps({
    "env": dict(os.environ), "fds": sorted(os.listdir("/proc/self/fd")), "cwd": os.getcwd(), "argv": sys.argv[1:],
    "sid": os.getsid(0) == os.getpid(), "size": list(os.get_terminal_size()),
}))
print("END")
"""


async def test_an_agent_talks_over_a_terminal_that_the_caller_owns(bench):
    client = await bench.connect()
    info, fd = await bench.sh(client, "read line; echo got $line; exec sleep 100")
    assert not os.get_blocking(fd)
    assert not os.get_inheritable(fd)
    os.write(fd, b"hello\n")
    assert b"got hello" in await bench.read_until(fd, b"got hello")
    assert [child.run for child in await client.children()] == [info.run]
    assert info.exited_at_ms is None


async def test_an_agent_gets_its_environment_size_folder_and_no_descriptor_of_the_keeper(bench, tmp_path):
    client = await bench.connect()
    # A second agent sees nothing of the first's terminal either.
    await bench.sh(client, "exec sleep 100")
    env = {"ONLY": "this", "ODD": "a=b c\n'"}
    program = bench.folder / "look.py"
    program.write_text(LOOK)
    spec = bench.spec(sys.executable, "-I", str(program), "", "two words", "$(id)", cwd=str(tmp_path), env=env)
    info, fd = await client.spawn(spec)
    bench.fds.append(fd)
    output = await bench.read_until(fd, b"END")
    seen = json.loads(output.partition(b"\r\nEND")[0])
    seen["env"].pop("LC_CTYPE", None)  # Python itself sets it in a C locale
    assert seen["env"] == {**env, "MESHD_RUN": info.run, "MESHD_SLOT": "slot-1"}
    assert seen["fds"] == ["0", "1", "2", "3"]  # 3 is the listing itself
    assert (seen["cwd"], seen["argv"]) == (str(tmp_path), ["", "two words", "$(id)"])
    assert seen["sid"]
    assert seen["size"] == [80, 24]


async def test_an_agent_starts_with_default_signals(bench):
    client = await bench.connect()
    _, fd = await bench.sh(client, "cat /proc/self/status; echo END")
    status = (await bench.read_until(fd, b"END")).decode()
    masks = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Sig")}
    # 32 and 33 are the C library's own: no program can set them, and some launchers leave them ignored.
    assert int(masks["SigIgn"], 16) & ~0x1_8000_0000 == 0
    assert int(masks["SigBlk"], 16) == 0


@pytest.mark.parametrize(
    ("argv", "cwd", "reason", "says"),
    [
        (("no-such-agent",), "/", "not_found", "PATH"),
        (("/no/such/agent",), "/", "not_found", "/no/such/agent"),
        (("/etc/passwd",), "/", "not_executable", "not an executable"),
        (("/tmp",), "/", "not_executable", "not an executable"),
        (("sh",), "/no/such/folder", "cwd", "/no/such/folder"),
        (("sh",), "relative", "cwd", "absolute"),
        (("sh", "a\0b"), "/", "arguments", "NUL"),
        ((), "/", "arguments", "no command"),
        (("sh", "x" * 300_000), "/", "exec", "too long"),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(bench, argv, cwd, reason, says):
    client = await bench.connect()
    keeper_fds = len(os.listdir(f"/proc/{client.keeper_pid}/fd"))
    with pytest.raises(SpawnError, match=says) as caught:
        await client.spawn(bench.spec(*argv, cwd=cwd))
    assert caught.value.reason == reason
    assert await client.children() == []
    children = Path(f"/proc/{client.keeper_pid}/task/{client.keeper_pid}/children")
    await bench.until(lambda: not children.read_text(), "no process left")
    assert len(os.listdir(f"/proc/{client.keeper_pid}/fd")) == keeper_fds


async def test_scripts_without_an_interpreter_fail_to_start(bench):
    client = await bench.connect()
    script = bench.folder / "agent"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(SpawnError, match="first line names"):
        await client.spawn(bench.spec(str(script)))


async def test_a_command_is_found_on_the_agents_own_path_and_may_have_blanks(bench):
    client = await bench.connect()
    folder = bench.folder / "with blank"
    folder.mkdir()
    (folder / "my agent").write_text("#!/bin/sh\necho started\nexec /bin/sleep 100\n")
    (folder / "my agent").chmod(0o755)
    _, fd = await client.spawn(bench.spec("my agent", env={"PATH": str(folder)}))
    bench.fds.append(fd)
    await bench.read_until(fd, b"started")


async def test_exit_codes_and_signals_are_told_and_kept_until_forgotten(bench):
    client = await bench.connect()
    told = []
    client.on_exit(told.append)
    coded, _ = await bench.sh(client, "exit 7")
    killed, _ = await bench.sh(client, "kill -9 $$")
    await bench.until(lambda: len(told) == 2, "two exit notices")
    status = {info.run: (info.code, info.signal, info.status_known) for info in told}
    assert status == {coded.run: (7, None, True), killed.run: (None, 9, True)}
    assert {child.run for child in await client.children()} == {coded.run, killed.run}
    assert not await client.kill(coded.run, 15)
    await client.forget(coded.run)
    assert {child.run for child in await client.children()} == {killed.run}
    with pytest.raises(UnknownRun):
        await client.forget(coded.run)


async def test_the_keeper_hides_from_others_and_goes_when_nothing_lives(bench):
    client = await bench.connect()
    info, _ = await bench.sh(client, "exec sleep 100")
    for name in ("keeper.sock", "keeper.sock.log", "keeper.sock.lock"):
        assert stat.S_IMODE((bench.folder / name).stat().st_mode) == 0o600
    with pytest.raises(KeeperError, match="alive"):
        await client.shutdown()
    await client.kill(info.run, 9)
    await bench.exited(client, info.run)
    await client.shutdown()
    await bench.until(lambda: bench.gone(client.keeper_pid), "the keeper's end")
    assert not bench.socket.exists()
    with pytest.raises(KeeperError, match="no keeper"):
        await KeeperClient.connect(bench.socket, start=False)


async def test_a_keeper_that_keeps_nothing_for_nobody_ends_by_itself(bench):
    client = await bench.connect()
    info, _ = await bench.sh(client, "exit 0")
    await bench.exited(client, info.run)
    await client.forget(info.run)
    await client.close()
    await bench.until(lambda: bench.gone(client.keeper_pid), "the keeper's end")
    assert not bench.socket.exists()


async def test_daemons_that_start_at_once_get_one_keeper(bench):
    async def attempt() -> KeeperClient | KeeperError:
        try:
            return await bench.connect()
        except KeeperError as error:
            return error

    results = await asyncio.gather(*(attempt() for _ in range(3)))
    won = [one for one in results if isinstance(one, KeeperClient)]
    refused = [str(one) for one in results if isinstance(one, KeeperError)]
    assert len(won) == 1
    assert len(refused) == 2
    assert all("another daemon" in text for text in refused)
    await won[0].close()
    again = await bench.connect()
    assert again.keeper_pid == won[0].keeper_pid


async def test_a_hundred_byte_path_is_no_limit(bench):
    bench.socket = bench.folder / ("d" * 100) / "keeper.sock"
    client = await bench.connect()
    assert await client.children() == []


async def test_spawning_is_quick_and_the_keeper_small(bench, capsys):
    client = await bench.connect()
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        await bench.sh(client, "exec sleep 100")
        times.append((time.perf_counter() - begin) * 1000)
    rollup = Path(f"/proc/{client.keeper_pid}/smaps_rollup").read_text().splitlines()
    memory = {line.split(":")[0]: line.split()[1] for line in rollup if line.startswith(("Rss", "Pss:"))}
    with capsys.disabled():
        print(f"\nspawn p50 {statistics.median(times):.1f} ms, max {max(times):.1f} ms; keeper KiB {memory}")
