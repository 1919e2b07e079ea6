"""The journal's file: what it keeps over the death of its process, and what it does with a bad file or disk."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.clock import now_ms
from meshd_core.terminal.journal import WINDOW, Journal, JournalInUse
from meshd_core.terminal.records import Kind, Record, format_id, parse_id

RAW = 2 * WINDOW
ROOT = Path(__file__).parents[2]
# More of them are for a run by hand.
KILLS = int(os.environ.get("MESHD_TEST_KILLS", "30"))


def small(path: Path) -> Journal:
    return Journal.open(path, raw_bytes=RAW, record_bytes=8192)


def line(n: int, text: str = "text") -> Record:
    return Record(Kind.LINE, n, 1, n * 10, 0, text.encode())


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def read_all(journal: Journal, position: int) -> tuple[int, list[Record]]:
    records = []
    while position < journal.head:
        page = journal.read(position)
        position = page[-1][0]
        records += [record for _, record in page]
    return position, records


# -- raw bytes -----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60_000), st.booleans()), max_size=20), st.integers(0, 99))
def test_raw_bytes_are_a_suffix_of_what_came(steps: list[tuple[bool, int, bool]], seed: int) -> None:
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    model = b""
    journal = small(folder / "j")
    try:
        with pipe() as (reader, writer):
            for from_fd, size, reopen in steps:
                data = rng.randbytes(size - 1) + b"."
                model += data
                if from_fd:
                    os.write(writer, data)
                    assert journal.read_from(reader) == data
                else:
                    journal.append_raw(data)
                if reopen:
                    journal.close()
                    journal = small(folder / "j")
                assert journal.raw_head == len(model)
                assert journal.raw_head - journal.raw_tail == min(len(model), RAW - WINDOW)
                assert journal.raw(journal.raw_tail, journal.raw_head) == model[journal.raw_tail :]
    finally:
        journal.close()
        shutil.rmtree(folder)


def test_reading_passes_on_would_block_end_and_eio(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        with pipe() as (reader, _), pytest.raises(BlockingIOError):
            journal.read_from(reader)
        reader, writer = os.pipe()
        os.close(writer)
        assert len(journal.read_from(reader)) == 0
        os.close(reader)
        master, slave = os.openpty()
        os.close(slave)
        with pytest.raises(OSError) as caught:
            journal.read_from(master)
        os.close(master)
        assert caught.value.errno == errno.EIO
        assert journal.raw_head == 0


def test_bytes_that_were_read_but_not_published_are_found_again(tmp_path: Path) -> None:
    """A process killed between `readv` and the store of the head, in each lap and across the wrap."""
    model = b""
    for step in range(12):
        with closing(small(tmp_path / "j")) as journal, pipe() as (reader, writer):
            data = bytes([step + 1]) * 30_000
            model += data
            os.write(writer, data)
            journal._advance = lambda count: None  # type: ignore[method-assign]
            journal.read_from(reader)
            assert journal.raw_head == len(model) - len(data)
        with closing(small(tmp_path / "j")) as journal:
            assert journal.raw_head == len(model)
            assert journal.raw(journal.raw_tail, journal.raw_head) == model[journal.raw_tail :]


def test_a_copy_that_was_cut_short_leaves_nothing_half_stored(tmp_path: Path) -> None:
    """A process killed within the copy of `append_raw` may leave holes, so nothing of that copy is believed."""
    with closing(small(tmp_path / "j")) as journal:
        journal.append_raw(b"a" * 100)
        journal._advance = lambda count: None  # type: ignore[method-assign]
        journal.append_raw(b"b\0\0\0b")
    with closing(small(tmp_path / "j")) as journal, pipe() as (reader, writer):
        assert journal.raw_head == 100
        os.write(writer, b"c")
        journal._advance = lambda count: None  # type: ignore[method-assign]
        journal.read_from(reader)
    with closing(small(tmp_path / "j")) as journal:
        assert journal.raw(0, journal.raw_head) == b"a" * 100 + b"c"


def test_raw_bytes_that_are_not_held_are_refused(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        journal.append_raw(b"x" * (RAW + 5))
        for start, end in ((0, 10), (journal.raw_tail - 1, journal.raw_head), (journal.raw_head, journal.raw_head + 1)):
            with pytest.raises(ValueError, match="not within"):
                journal.raw(start, end)


# -- backlog -------------------------------------------------------------------------------------------------------


def test_an_interrupted_adoption_knows_how_much_of_the_backlog_it_has(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        journal.append_raw(b"before")
        assert journal.backlog_begin(2**64 + 5, 0, 10) == 0
        journal.append_raw(b"0123")
    with closing(small(tmp_path / "j")) as journal:
        assert journal.backlog_begin(5, 0, 10) == 4
        journal.append_raw(b"456789")
        assert journal.backlog_begin(5, 0, 12) == 10
        assert journal.raw(0, journal.raw_head) == b"before0123456789"
        journal.append_raw(b"ab, then what was read after the acknowledgement")
        assert journal.backlog_begin(5, 12, 6) == 0
        assert journal.backlog_begin(6, 0, 6) == 0


def test_a_backlog_whose_oldest_bytes_were_dropped_meanwhile_is_not_stored_twice(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        assert journal.backlog_begin(5, 100, 10) == 0
        journal.append_raw(b"012345")
        assert journal.backlog_begin(5, 104, 20) == 2
        assert journal.backlog_begin(5, 200, 20) == 0


def test_a_marker_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        journal.backlog_begin(7, 0, 10)
        journal.append_raw(b"abc")
        journal.backlog_begin(7, 100, 5)
        journal.append_raw(b"d")
        journal._cells[32 + 5] ^= 1  # the sum of the second marker, as if never stored
        assert journal.backlog_begin(7, 0, 10) == 4


# -- ids -----------------------------------------------------------------------------------------------------------


def test_ids_name_positions_of_this_epoch_only(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal, closing(small(tmp_path / "k")) as other:
        journal.append([line(1), line(2)])
        other.append([line(1), line(2)])
        for position in (journal.tail, journal.read(journal.tail, limit=1)[0][0], journal.head):
            assert parse_id(format_id(journal.epoch, position)) == (journal.epoch, position)
            assert journal.valid(position)
        assert not journal.valid(7)
        assert parse_id(f"x{journal.epoch}-0") == (f"x{journal.epoch}", 0)
        assert parse_id("garbage") is None


# -- the file ------------------------------------------------------------------------------------------------------


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")) as journal:
        epoch = journal.epoch
        journal.append([line(n) for n in range(1, 300)])
        held = read_all(journal, journal.tail)
    with closing(Journal.open(tmp_path / "j")) as journal:  # other sizes asked: the file's own count
        assert (journal.epoch, journal.last_n) == (epoch, 299)
        assert read_all(journal, journal.tail) == held
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_a_second_process_is_told_that_the_journal_is_open(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")):
        with pytest.raises(JournalInUse):
            small(tmp_path / "j")
        code = "import sys; from pathlib import Path; from meshd_core.terminal.journal import *\n"
        code += "try: Journal.open(Path(sys.argv[1]))\nexcept JournalInUse: sys.exit(7)"
        command = [sys.executable, "-c", code, str(tmp_path / "j")]
        assert subprocess.run(command, cwd=ROOT, timeout=30).returncode == 7
    small(tmp_path / "j").close()


def test_a_view_still_held_does_not_keep_the_journal_locked(tmp_path: Path) -> None:
    journal = small(tmp_path / "j")
    with pipe() as (reader, writer):
        os.write(writer, b"data")
        view = journal.read_from(reader)
    journal.close()
    journal.close()
    small(tmp_path / "j").close()
    assert bytes(view) == b"data"


@pytest.mark.parametrize("damage", ["magic", "version", "size", "short", "text", "cut", "raw", "record", "positions"])
def test_a_bad_file_is_moved_aside_and_a_new_epoch_begins(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    with closing(small(path)) as journal:
        journal.append([line(1)])
        epoch = journal.epoch
    content = bytearray(path.read_bytes())
    at = {"magic": 0, "version": 8, "size": 24, "raw": 17 * 8 + 3, "record": 4096 + RAW + 20, "positions": 25 * 8 + 4}
    if damage in at:
        content[at[damage]] ^= 0xFF
    others = {"short": b"x", "text": b"hello\n" * 2000, "cut": bytes(content[:-1])}
    path.write_bytes(others.get(damage, bytes(content)))
    bad = path.read_bytes()
    born = now_ms()
    while now_ms() == born:  # the epoch is a time in milliseconds
        time.sleep(0)
    with closing(small(path)) as journal:
        assert (journal.last_n, journal.head, journal.raw_head) == (0, 0, 0)
        assert journal.epoch != epoch
    assert (tmp_path / "j.bad-1").read_bytes() == bad
    path.write_bytes(b"again")
    small(path).close()
    assert (tmp_path / "j.bad-2").read_bytes() == b"again"


def test_bad_files_do_not_pile_up(tmp_path: Path) -> None:
    for turn in range(15):
        (tmp_path / "j").write_bytes(b"bad %d" % turn)
        small(tmp_path / "j").close()
    assert len(list(tmp_path.iterdir())) == 10
    assert (tmp_path / "j.bad-9").read_bytes() == b"bad 14"


@pytest.mark.parametrize("left", [b"", bytes(100), bytes(300_000)])
def test_a_birth_that_was_interrupted_is_not_damage(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "j").write_bytes(left)
    with closing(small(tmp_path / "j")) as journal:
        journal.append([line(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


def test_all_disk_space_is_taken_when_the_journal_is_made(tmp_path: Path) -> None:
    with closing(small(tmp_path / "j")):
        status = (tmp_path / "j").stat()
        assert status.st_blocks * 512 >= status.st_size


def test_a_full_disk_is_an_error_at_open_never_a_crash(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root on Linux")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(OSError) as caught:
            Journal.open(tmp_path / "j")
        assert caught.value.errno == errno.ENOSPC
        with closing(small(tmp_path / "j")) as journal:  # the failed try left nothing behind
            (tmp_path / "filler").write_bytes(bytes(shutil.disk_usage(tmp_path).free))
            journal.append_raw(b"x" * RAW * 3)
            journal.append([line(n) for n in range(1, 1000)])
            assert journal.last_n == 999
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# -- kills ---------------------------------------------------------------------------------------------------------

PRINTER = """
import sys, time
for number in range(1, 10**9):
    sys.stdout.write(f"\\x1b[32mline\\x1b[0m {number}\\r\\n")
    if number % 20 == 0:
        sys.stdout.flush()
        time.sleep(0.002)
"""


def test_no_line_is_lost_or_doubled_when_the_writer_is_killed_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "j"
    rng = random.Random(1)
    master, slave = os.openpty()
    tty.setraw(slave)
    agent = subprocess.Popen([sys.executable, "-c", PRINTER], stdin=slave, stdout=slave)
    os.close(slave)
    seen = position = 0
    command = [sys.executable, str(Path(__file__).with_name("journal_writer.py")), str(path), str(master)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        for kill in range(KILLS):
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[master], env=environment)
            assert writer.stdout
            adopting = kill % 3 == 0  # killed while it starts and replays; else after that
            assert adopting or writer.stdout.read(1) == b"+"
            try:
                writer.wait(rng.uniform(0, 0.15 if adopting else 0.1))
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
            assert writer.wait(10) == -signal.SIGKILL
            writer.stdout.close()
            with closing(Journal.open(path)) as journal:
                assert journal.valid(position), f"kill {kill}: the reader's position is gone"
                position, records = read_all(journal, position)
                for record in records:
                    seen += 1
                    assert (record.n, record.data) == (seen, b"line %d" % seen), f"kill {kill}"
        assert seen > KILLS
    finally:
        agent.kill()
        agent.wait(10)
        os.close(master)
    assert [entry.name for entry in tmp_path.iterdir()] == ["j"]
