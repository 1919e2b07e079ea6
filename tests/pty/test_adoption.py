"""Agents outlive their daemon, and what they print meanwhile is told to the next one exactly once."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshd_core.pty.errors import KeeperBusy, KeeperError, KeeperLost

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).with_name("daemon_process.py")
HEADER_BYTES = 24


class Daemon:
    """One `daemon_process.py`, whose lines on stdout are awaited."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, bench, *mode: str) -> "Daemon":
        root = str(Path(__file__).resolve().parents[2])
        command = (sys.executable, str(PROGRAM), str(bench.socket), str(bench.folder / "journal"), *mode)
        environment = {**os.environ, "PYTHONPATH": root}
        return cls(await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment))

    async def said(self, word: str) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith(word):
                    return line
        raise AssertionError(f"the daemon never said {word!r}")

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@pytest.fixture
async def daemons(bench) -> AsyncIterator[list[Daemon]]:
    started: list[Daemon] = []
    yield started
    for daemon in started:
        await daemon.kill()


def journal(bench) -> bytes:
    return (bench.folder / "journal").read_bytes()[HEADER_BYTES:].rstrip(b"\0")


def numbers(count: int) -> bytes:
    return b"".join(b"%d\r\n" % number for number in range(count))


async def test_every_number_arrives_once_through_kills_at_random_moments(bench, daemons):
    count, chance = 20_000, random.Random(7)
    mode: tuple[str, ...] = ("spawn", str(count), "8000")
    pids = set()
    for _ in range(6):
        daemon = await Daemon.start(bench, *mode)
        daemons.append(daemon)
        await daemon.said("ready")
        size = len(journal(bench)) + chance.randrange(500, 8000)
        with contextlib.suppress(AssertionError):
            await bench.until(lambda size=size: len(journal(bench)) >= size, "some output", 1.0)
        await daemon.kill()
        client = await bench.connect()
        [child] = await client.children()
        pids.add(child.pid)
        await client.close()
        # The keeper alone reads now, until a random amount was printed.
        await asyncio.sleep(chance.random() / 5)
        mode = ("adopt",)
    daemon = await Daemon.start(bench, "adopt")
    daemons.append(daemon)
    await bench.until(lambda: len(journal(bench)) >= len(numbers(count)), "all numbers")
    exact = journal(bench) == numbers(count)
    assert exact
    assert len(pids) == 1


async def test_an_adoption_that_is_killed_half_way_loses_and_doubles_nothing(bench, daemons):
    count = 20_000
    first = await Daemon.start(bench, "spawn", str(count), "20000")
    daemons.append(first)
    await first.said("ready")
    await first.kill()
    generations = []
    for _ in range(3):
        await asyncio.sleep(0.2)  # lets the backlog grow: the agent prints by the clock
        daemon = await Daemon.start(bench, "half")
        daemons.append(daemon)
        _, generation, size = (await daemon.said("half")).split()
        assert int(size) > 0
        generations.append(generation)
        await daemon.kill()
    assert len(set(generations)) == 1
    last = await Daemon.start(bench, "adopt")
    daemons.append(last)
    await bench.until(lambda: len(journal(bench)) >= len(numbers(count)), "all numbers")
    exact = journal(bench) == numbers(count)
    assert exact


async def test_an_unacknowledged_backlog_comes_again_with_more_at_its_end(bench):
    client = await bench.connect()
    info, fd = await bench.sh(client, "stty -echo; echo first; read go; echo second; read go; echo third; sleep 100")
    await client.close()
    client = await bench.connect()
    seen, gens = [], []
    for expected in (b"first\r\n", b"first\r\nsecond\r\n"):
        while True:
            backlog, again = await client.attach(info.run)
            bench.fds.append(again)
            if backlog.data == expected:
                break
            assert expected.startswith(backlog.data)
            await client.close()
            client = await bench.connect()
        seen.append(backlog.data)
        gens.append(backlog.gen)
        os.write(fd, b"go\n")
        await client.close()
        client = await bench.connect()
    assert gens[0] == gens[1]
    while (backlog := (await client.attach(info.run))[0]).data != seen[-1] + b"third\r\n":
        await client.close()
        client = await bench.connect()
    await client.acknowledge(info.run, backlog.gen + 5)  # not this one: nothing is freed
    assert (await client.attach(info.run))[0] == backlog
    await client.acknowledge(info.run, backlog.gen)
    empty, again = await client.attach(info.run)
    assert (empty.data, empty.lost_bytes, empty.start) == (b"", 0, len(backlog.data))
    assert empty.gen > backlog.gen


async def test_an_agent_that_ended_while_nobody_was_there_shows_its_status_and_last_words(bench):
    client = await bench.connect()
    info, _ = await bench.sh(client, "sleep 0.2; echo last words; exit 3")
    await client.close()
    client = await bench.connect()
    ended = await bench.exited(client, info.run)
    assert (ended.code, ended.signal, ended.status_known) == (3, None, True)
    backlog, fd = await client.attach(info.run)
    assert backlog.data == b"last words\r\n"
    assert fd is None
    await client.acknowledge(info.run, backlog.gen)
    await client.forget(info.run)
    assert await client.children() == []


async def test_a_full_backlog_drops_the_oldest_and_says_how_much(bench):
    client = await bench.connect()
    total = 10_000_000
    program = f"import sys\nfor n in range({total} // 10): sys.stdout.write(f'{{n:08d}}\\n')"
    info, _ = await bench.python(client, program)
    await client.close()
    client = await bench.connect()
    await bench.exited(client, info.run)
    backlog, fd = await client.attach(info.run)
    assert fd is None
    numbered = b"".join(b"%08d\r\n" % n for n in range(total // 10))
    assert backlog.lost_bytes == backlog.start == total - len(backlog.data)
    assert 7 * 1024 * 1024 < len(backlog.data) <= 8 * 1024 * 1024
    # Compared as a truth value: a diff of megabytes would take minutes.
    same = backlog.data == numbered[-len(backlog.data) :]
    assert same


async def test_the_backlogs_memory_goes_back_to_the_system(bench):
    client = await bench.connect()
    keeper = client.keeper_pid

    def resident() -> int:
        return int(Path(f"/proc/{keeper}/statm").read_text().split()[1]) * 4096

    before = resident()
    info, _ = await bench.sh(client, "head -c 6000000 /dev/zero | tr '\\0' x; sleep 100")
    await client.close()
    await bench.until(lambda: resident() > before + 5_000_000, "a large backlog")
    client = await bench.connect()
    backlog, fd = await client.attach(info.run)
    bench.fds.append(fd)
    await client.acknowledge(info.run, backlog.gen)
    assert resident() < before + 1_000_000


async def test_a_second_daemon_is_refused_while_the_first_lives(bench):
    first = await bench.connect()
    with pytest.raises(KeeperBusy, match=f"another daemon .pid {os.getpid()}"):
        await bench.connect()
    await first.children()
    await first.close()
    await bench.connect()


async def test_a_keeper_of_another_protocol_says_what_to_do(bench, monkeypatch):
    client = await bench.connect()
    await client.close()
    monkeypatch.setattr("meshd_core.pty.client.PROTOCOL", 99)
    with pytest.raises(KeeperError, match="meshd down"):
        await bench.connect()


async def test_garbage_and_silence_on_the_socket_harm_nobody(bench):
    client = await bench.connect()
    info, fd = await bench.sh(client, "read line; echo got $line; exec sleep 100")
    strangers = []
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x05J{}{}", b"\xff\xff\xff\xffJ", b"\0\0\0\x03D12", b""):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(str(bench.socket))
        stranger.send(garbage)
        strangers.append(stranger)
    assert [child.run for child in await client.children()] == [info.run]
    os.write(fd, b"on\n")
    await bench.read_until(fd, b"got on")
    for stranger in strangers:
        stranger.close()


async def test_a_new_keeper_takes_over_agents_whose_keeper_was_killed(bench):
    client = await bench.connect()
    info, fd = await bench.sh(client, "read line; echo got $line; read line; exit 5")
    ended, _ = await bench.sh(client, "sleep 0.1; exit 1")
    await bench.exited(client, ended.run)
    lost = []
    client.on_lost(lambda: lost.append(True))
    os.kill(client.keeper_pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        await client.closed.wait()
    assert lost == [True]
    with pytest.raises(KeeperLost):
        await client.children()
    fresh = await bench.connect()
    assert fresh.keeper_pid != client.keeper_pid
    told = []
    fresh.on_exit(told.append)
    await fresh.take(info, fd)
    await fresh.take(ended, fd)  # it ended before: the notice comes at once
    await bench.until(lambda: [one.run for one in told] == [ended.run], "the notice of the one that had ended")
    os.write(fd, b"on\n")
    await bench.read_until(fd, b"got on")
    assert await fresh.processes(info.run) == [info.pid]
    # It is adoptable from the new keeper like any other.
    await fresh.close()
    fresh = await bench.connect()
    fresh.on_exit(told.append)
    _, again = await fresh.attach(info.run)
    os.write(again, b"end\n")
    os.close(again)
    await bench.until(lambda: len(told) == 2, "the exit notice")
    assert (told[1].run, told[1].code, told[1].status_known) == (info.run, None, False)


async def test_a_keeper_survives_hangups_and_ends_on_sigterm_only_without_agents(bench):
    client = await bench.connect()
    info, _ = await bench.sh(client, "exec sleep 100")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        os.kill(client.keeper_pid, number)
    assert [child.run for child in await client.children()] == [info.run]
    await client.kill(info.run, signal.SIGKILL)
    await bench.exited(client, info.run)
    os.kill(client.keeper_pid, signal.SIGTERM)
    await bench.until(lambda: bench.gone(client.keeper_pid), "the keeper's end")


async def test_a_terminal_that_its_agent_opens_again_is_still_drained(bench):
    client = await bench.connect()
    program = """
import os, sys, time
os.write(1, b"one ")
name = os.ttyname(0)
for fd in (0, 1, 2): os.close(fd)
time.sleep(0.3)
fd = os.open(name, os.O_RDWR)
os.write(fd, b"two")
time.sleep(100)
"""
    info, _ = await bench.python(client, program)
    await client.close()
    data = b""
    async with asyncio.timeout(20):
        while data != b"one two":
            await asyncio.sleep(0.05)
            client = await bench.connect()
            backlog, fd = await client.attach(info.run)
            bench.fds.append(fd)
            data = backlog.data
            await client.close()
