"""A daemon in miniature, to be killed: it keeps what one run prints in a mapped file, exactly once.

Usage: daemon_process.py SOCKET JOURNAL MODE, where MODE is `spawn SECONDS COUNT RATE`, `adopt`, or `half` (store half
of the backlog, say so, and wait to be killed before it is acknowledged). Bytes go from the terminal straight into the
mapping; its head is the first zero byte. The header says where the adoption in progress began.
"""

import asyncio
import mmap
import os
import struct
import sys
from pathlib import Path

from meshd_core.pty.client import KeeperClient
from meshd_core.pty.master import Master
from meshd_core.pty.messages import Backlog, SpawnSpec

HEADER = struct.Struct("<QQQ")  # position of the backlog's first byte, head when it was stored, its size
SIZE = 32 * 1024 * 1024
COUNTER = """
import sys, time
count, rate = int(sys.argv[1]), int(sys.argv[2])
begin = time.monotonic()
for number in range(count):
    sys.stdout.write(f"{number}\\n")
    if number % 50 == 0:
        sys.stdout.flush()
        time.sleep(max(0, begin + number / rate - time.monotonic()))
"""


class Journal:
    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, SIZE)
        self.map = mmap.mmap(fd, SIZE)
        os.close(fd)
        self.head = self.map.find(b"\0", HEADER.size)

    def read_from(self, fd: int) -> int:
        with memoryview(self.map) as whole, whole[self.head : self.head + 65536] as room:
            count = os.readv(fd, [room])
        self.head += count
        return count

    def begin(self, backlog: Backlog) -> bytes:
        """What of `backlog` is not stored yet."""
        start, head, size = HEADER.unpack_from(self.map, 0)
        stored_to = start + min(self.head - head, size) if head else 0
        rest = backlog.data[max(0, stored_to - backlog.start) :]
        assert not backlog.lost_bytes
        position = backlog.start + len(backlog.data) - len(rest)
        HEADER.pack_into(self.map, 0, position, self.head, len(rest))
        return rest

    def store(self, data: bytes) -> None:
        self.map[self.head : self.head + len(data)] = data
        self.head += len(data)


async def main(socket: Path, path: Path, mode: str, count: str, rate: str) -> None:
    journal = Journal(path)
    client = await KeeperClient.connect(socket)
    if mode == "spawn":
        spec = SpawnSpec("s", (sys.executable, "-c", COUNTER, count, rate), dict(os.environ), "/", 24, 80, {})
        _, fd = await client.spawn(spec)
    else:
        [child] = await client.children()
        backlog, adopted = await client.attach(child.run)
        rest = journal.begin(backlog)
        if mode == "half":
            journal.store(rest[: len(rest) // 2])
            print(f"half {backlog.gen} {len(rest)}", flush=True)
            await asyncio.sleep(600)
        journal.store(rest)
        await client.acknowledge(child.run, backlog.gen)
        if adopted is None:
            print("ready", flush=True)
            return
        fd = adopted
    ended = asyncio.Event()
    master = Master(fd, journal.read_from, ended.set)
    master.start()
    print("ready", flush=True)
    await ended.wait()
    print("ended", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    arguments = [*sys.argv[3:], "0", "0"]
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *arguments[:3]))
