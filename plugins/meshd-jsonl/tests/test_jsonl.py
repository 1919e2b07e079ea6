"""The sink jsonl: what a sink must do, and what its file looks like afterwards."""

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from meshd_jsonl import JsonlSink
from meshd_jsonl.lines_file import LinesFile
from meshd_jsonl.sink import JsonlOptions

from meshd_core.api import FleetSink, SinkBusy, SinkConnection, SinkContext, SinkPaused
from meshd_core.contracts.context import no_secrets
from meshd_core.testing.sink_conformance import Receiver, SinkConformance
from meshd_core.testing.sinks import EventMaker

MAKER = EventMaker()


def events_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


class FileReceiver(Receiver):
    """A folder that can lose its space: the limit of a file's size stands for a full disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        self.options = JsonlOptions(path=str(self.path))
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def ids(self) -> list[str]:
        return [event["id"] for event in events_in(self.path)]

    def fail(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self._limits[1]))

    def mend(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


class TestConformance(SinkConformance):
    def sink(self) -> FleetSink:
        return JsonlSink()

    @contextmanager
    def receiver(self, folder: Path) -> Iterator[Receiver]:
        receiver = FileReceiver(folder)
        try:
            yield receiver
        finally:
            receiver.mend()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


def connect(folder: Path, **options: Any) -> SinkConnection:
    return JsonlSink().open(SinkContext("log", "mac1", "b", JsonlOptions(**options), folder / "state", no_secrets))


def send(connection: SinkConnection, *events: Any) -> None:
    asyncio.run(connection.send(events))


def close(connection: SinkConnection) -> None:
    asyncio.run(connection.close())


def test_by_default_the_file_is_in_the_instances_folder_for_its_owner_alone(folder: Path) -> None:
    mask = os.umask(0)
    try:
        connection = connect(folder)
        send(connection, MAKER.heartbeat())
    finally:
        os.umask(mask)
    close(connection)
    assert (folder / "state" / "events.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_is_the_whole_event(folder: Path) -> None:
    event = MAKER.dialog("\u2028 odd")
    connection = connect(folder)
    send(connection, event)
    close(connection)
    (line,) = (folder / "state" / "events.jsonl").read_bytes().split(b"\n")[:-1]
    assert line == msgspec.json.encode(event)


@pytest.mark.parametrize("fsync", [False, True])
def test_files_are_renamed_before_they_grow_too_large_and_the_oldest_goes(folder: Path, fsync: bool) -> None:
    connection = connect(folder, max_bytes=65536, keep=2, fsync=fsync)
    sent = [MAKER.dialog("x" * 1000) for _ in range(300)]
    for start in range(0, 300, 10):
        send(connection, *sent[start : start + 10])
    close(connection)
    files = sorted(path.name for path in (folder / "state").iterdir())
    assert files == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    kept = [event for name in reversed(files) for event in events_in(folder / "state" / name)]
    assert [event["id"] for event in kept] == [event.id for event in sent[-len(kept) :]]
    assert all((folder / "state" / name).stat().st_size <= 65536 for name in files)


def test_without_room_for_old_files_the_file_begins_anew(folder: Path) -> None:
    connection = connect(folder, max_bytes=65536, keep=0)
    for _ in range(100):
        send(connection, MAKER.dialog("x" * 1000))
    close(connection)
    assert [path.name for path in (folder / "state").iterdir()] == ["events.jsonl"]


def test_a_file_that_was_moved_or_removed_is_made_anew(folder: Path) -> None:
    path = folder / "state" / "events.jsonl"
    connection = connect(folder)
    send(connection, MAKER.heartbeat())
    path.rename(path.with_name("moved"))
    send(connection, event := MAKER.heartbeat())
    assert [found["id"] for found in events_in(path)] == [event.id]
    path.unlink()
    send(connection, event := MAKER.heartbeat())
    close(connection)
    assert [found["id"] for found in events_in(path)] == [event.id]


def test_a_line_that_a_death_left_unfinished_is_cut_off(folder: Path) -> None:
    path = folder / "state" / "events.jsonl"
    whole = msgspec.json.encode(MAKER.heartbeat()) + b"\n"
    for torn in (b"{", b'{"id":"', whole[:50], whole[:-1]):
        path.write_bytes(whole + torn)
        connection = connect(folder)
        send(connection, event := MAKER.heartbeat())
        close(connection)
        assert [found["id"] for found in events_in(path)][1:] == [event.id]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("my diary"), "not meshd's"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/dev/null"), "Too many levels of symbolic links"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.parent.rmdir(), "No such file or directory"),
    ],
)
def test_what_is_no_file_of_ours_pauses_and_is_left_alone(folder: Path, make: Any, reason: str) -> None:
    path = folder / "state" / "events.jsonl"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(SinkPaused, match=reason):
        send(connect(folder), MAKER.heartbeat())
    assert before is None or path.read_bytes() == before


def test_two_writers_of_one_file_are_refused(folder: Path) -> None:
    first, second = connect(folder), connect(folder)
    send(first, MAKER.heartbeat())
    with pytest.raises(SinkPaused, match="a file of its own"):
        send(second, MAKER.heartbeat())
    close(first)
    send(second, MAKER.heartbeat())
    close(second)


def test_a_full_disk_takes_nothing_of_a_batch(folder: Path) -> None:
    receiver = FileReceiver(folder / "state")
    connection = connect(folder)
    send(connection, first := MAKER.heartbeat())
    receiver.fail()
    try:
        with pytest.raises(SinkBusy, match=r"events.jsonl can't be written: File too large"):
            send(connection, *[MAKER.heartbeat() for _ in range(3)])
    finally:
        receiver.mend()
    assert receiver.ids() == [first.id]
    send(connection, last := MAKER.heartbeat())
    close(connection)
    assert receiver.ids() == [first.id, last.id]


@pytest.mark.parametrize("path", ["", "a/", "a\0b", "~nobody-has-this-name/x"])
def test_a_path_that_names_no_file_is_an_error_of_the_configuration(path: str) -> None:
    with pytest.raises(ValueError, match="path: "):
        JsonlOptions(path=path)


WRITER = """
import sys
from pathlib import Path
from meshd_jsonl.lines_file import LinesFile
file = LinesFile(Path(sys.argv[1]), 200_000, 3, False)
number = 0
while True:
    lines = b"".join(b'{"id":"%d","pad":"%s"}\\n' % (number + i, b"x" * 900) for i in range(50))
    file.append(lines)
    number += 50
    print(number, flush=True)
"""


def test_kill_9_in_the_middle_of_writing_leaves_whole_lines_in_order(folder: Path) -> None:
    path = folder / "state" / "events.jsonl"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            told = 0
            for _ in range(7):
                told = int(writer.stdout.readline())
            writer.kill()
            told = max([told, *map(int, writer.stdout.read().split())])
        LinesFile(path, 200_000, 3, False).append(b'{"id":"end"}\n')
        names = [path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2, 3))]
        found = [event["id"] for name in reversed(names) if name.exists() for event in events_in(name)]
        assert found.pop() == "end"
        numbers = [int(number) for number in found]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[-1] >= told - 1, "what was said to be written is there"
        for name in names:
            name.unlink(missing_ok=True)
