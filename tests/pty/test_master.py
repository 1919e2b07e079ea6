"""One master on the loop: ordered writes that never block it, reads until the very end."""

import asyncio
import os
import time

import pytest

from meshd_core.pty.errors import WriteClosed, WriteOverflow, WriteTimeout
from meshd_core.pty.master import READ_BURST, READS_PER_S, Master

pytestmark = pytest.mark.anyio

RAW = "import sys, termios, tty; tty.setraw(0); print('ready', flush=True);"


class Reader:
    def __init__(self) -> None:
        self.data = bytearray()
        self.ends = 0
        self.reads = 0
        self.limit = 65536

    def read(self, fd: int) -> int:
        data = os.read(fd, self.limit)
        self.reads += 1
        self.data += data
        return len(data)

    def end(self) -> None:
        self.ends += 1


@pytest.fixture
async def start(bench):
    masters = []

    async def begin(program: str, **options: int):
        client = await bench.connect()
        info, fd = await client.spawn(bench.spec("python3", "-c", program))
        reader = Reader()
        master = Master(fd, reader.read, reader.end, **options)
        masters.append(master)
        master.start()
        await bench.until(lambda: b"ready" in reader.data, "ready")
        return client, info, master, reader

    yield begin
    for master in masters:
        master.close()


async def test_what_is_written_at_once_by_several_arrives_whole_and_in_order(bench, start):
    program = RAW + "import os\nwhile True: os.write(1, os.read(0, 4096))"
    _, _, master, reader = await start(program)
    texts = [bytes([65 + index]) * 60_000 for index in range(8)]
    await asyncio.gather(*(master.write(text, 20.0) for text in texts))
    await bench.until(lambda: reader.data.endswith(texts[-1]), "the echo")
    assert bytes(reader.data).endswith(b"".join(texts))


async def test_a_write_to_an_agent_that_never_reads_times_out_and_the_loop_runs_on(bench, start):
    _, _, master, _ = await start(RAW + "import time; time.sleep(600)")
    ticks, cpu, begin = 0, time.process_time(), time.monotonic()
    writing = asyncio.create_task(master.write(b"x" * 500_000, 0.5))
    worst = 0.0
    while not writing.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        worst, ticks = max(worst, time.monotonic() - before), ticks + 1
    with pytest.raises(WriteTimeout) as caught:
        await writing
    assert 0 < caught.value.written < 500_000
    assert time.monotonic() - begin < 5
    assert ticks > 10
    assert worst < 0.3
    assert time.process_time() - cpu < 0.4
    # The kernel moves a little on now and then; in the end nothing of a write goes in, and that is known, too.
    async with asyncio.timeout(20):
        while caught.value.written:
            with pytest.raises(WriteTimeout) as caught:
                await master.write(b"y" * 100_000, 0.05)


async def test_too_many_waiting_bytes_are_refused_before_the_first(start):
    _, _, master, _ = await start(RAW + "import time; time.sleep(600)", max_pending=100_000)
    writing = asyncio.create_task(master.write(b"x" * 90_000, 5.0))
    await asyncio.sleep(0)
    with pytest.raises(WriteOverflow):
        await master.write(b"y" * 20_000, 5.0)
    master.close()
    with pytest.raises(WriteClosed) as caught:
        await writing
    assert caught.value.written < 90_000
    with pytest.raises(WriteClosed):
        await master.write(b"z", 1.0)


async def test_the_end_is_told_once_and_nothing_before_it_is_lost(bench, start):
    program = RAW + "sys.stdin.read(1); sys.stdout.write('x' * 3000 + 'END')"
    client, info, master, reader = await start(program)
    master.pause()
    master.pause()
    await master.write(b"g", 5.0)
    await bench.exited(client, info.run)
    assert b"END" not in reader.data
    reader.limit = 500
    assert master.drain(1000) >= 1000
    assert master.drain(1 << 20) > 0
    assert reader.data.endswith(b"x" * 3000 + b"END")
    assert (reader.ends, master.ended) == (1, True)
    assert master.drain(1 << 20) == 0
    assert reader.ends == 1
    # An EIO is not the end of the object: it may look again, and is told again.
    master.resume()
    await bench.until(lambda: reader.ends == 2, "the second end")


async def test_a_program_that_trickles_is_read_seldom_and_loses_nothing(bench, start):
    program = f"""{RAW}
import time
for n in range(300):
    print(n, end=" ", flush=True)
    time.sleep(0.01)
print("END", flush=True)
"""
    begin = time.monotonic()
    _, _, _, reader = await start(program)
    await bench.until(lambda: b"END" in reader.data, "the end")
    assert reader.data.split() == [b"ready", *(b"%d" % n for n in range(300)), b"END"]
    assert reader.reads <= READ_BURST + READS_PER_S * (time.monotonic() - begin) + 1


async def test_a_resize_reaches_the_agent(bench, start):
    program = (
        RAW + "import os, signal, time\n"
        "signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b'%d %d now' % tuple(os.get_terminal_size())))\n"
        "print('armed', flush=True)\n"
        "while True: time.sleep(600)"
    )
    _, _, master, reader = await start(program)
    await bench.until(lambda: b"armed" in reader.data, "the handler")
    master.resize(50, 132)
    await bench.until(lambda: b"132 50 now" in reader.data, "the new size")


async def test_a_failing_store_pauses_the_reader_instead_of_spinning(bench, start):
    _, _, master, reader = await start(
        "print('ready', flush=True)\nimport time; time.sleep(0.2); print('more'); time.sleep(600)"
    )
    failures = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def broken(fd: int) -> int:
        raise OSError(28, "No space left on device")

    master._read = broken
    os.write(master._fd, b"echo\n")
    await bench.until(lambda: failures, "the failure")
    await asyncio.sleep(0.1)
    assert len(failures) == 1
    assert reader.ends == 0
