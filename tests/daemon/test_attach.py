"""A person's terminal on a slot: what it shows, what it sends, and that it disturbs nobody."""

import json
import re
import socket as sockets
import time
from pathlib import Path
from typing import Any

import pytest

from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import Screen, SlotDetail
from tests.daemon.attached import attached


def slot(daemon: DaemonProcess) -> SlotDetail:
    return daemon.get("/slots/demo", SlotDetail)


def all_that_scrolled(raw: bytes) -> str:
    """What a person could scroll back to, and what stands on the screen."""
    emulator = Emulator(40, 120)
    emulator.keep_history()
    lines: list[str] = []
    for start in range(0, len(raw), 4096):
        emulator.feed(raw[start : start + 4096])
        if emulator.at_ground:
            lines += emulator.take_scrollback().lines
    return "\n".join([*lines, *emulator.rows()[:-2]])


def test_the_screen_is_there_first_and_keys_and_bytes_follow(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.inject("demo", "said before")
    with attached(daemon) as person:
        assert person.hello["mode"] == "control"
        assert (person.hello["rows"], person.hello["cols"]) == (40, 120)
        person.until(lambda: person.shows("echo: said before"))
        person.type("typed by hand\r")
        person.until(lambda: person.shows("echo: typed by hand"))
        daemon.wait_for("demo", "idle")
        assert person.rows() == daemon.get("/screen/demo", Screen).rows
    assert slot(daemon).counters.bytes_written >= len("typed by hand\r")


def test_who_comes_in_a_flood_misses_nothing_and_sees_nothing_twice(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.inject("demo", "lines 16000 2000", until="submitted")
    for _ in range(4):
        with attached(daemon, "/attach/demo?mode=view") as person:
            person.until(lambda: len(person.raw) > 20_000 or person.shows("line 16000"))
            seen = [int(number) for number in re.findall(r"^line (\d+)$", all_that_scrolled(person.raw), re.MULTILINE)]
            assert len(seen) > 100
            assert seen == list(range(seen[0], seen[0] + len(seen)))
    with attached(daemon, "/attach/demo?mode=view") as person:
        daemon.wait_for("demo", "idle")
        expected = daemon.get("/screen/demo", Screen).rows
        person.until(lambda: person.rows() == expected)


def test_a_person_who_types_holds_the_queue(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon) as person:
        person.type(b"\x1b[I\x1b[<0;5;5M")
        person.type(b"\x1b[?62;22c")
        person.tell(type="nonsense")
        person.until(lambda: person.of("error"))
        assert slot(daemon).held is None
        person.type("half a th")
        person.until(lambda: person.shows("half a th"))
        assert slot(daemon).held == "typing"
        with pytest.raises(HttpFailure) as refused:
            daemon.inject("demo", "now", when="now")
        assert (refused.value.status, refused.value.code) == (409, "human_typing")
        receipt = daemon.inject("demo", "later", until="submitted", timeout_s=0.5)
        assert receipt.stage == "accepted"
        person.type("ought\r")
        person.until(lambda: person.shows("echo: half a thought"))
        person.until(lambda: person.shows("echo: later"), 40)


def test_answers_of_the_persons_terminal_do_not_reach_the_agent(make_daemon: Any, demo_slot: str, prompts: Any) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon) as person:
        for part in (b"a\x1b[?62", b";22cb\x1b]11;rgb:00/00", b"/00\x07c\x1b[12;4R_\x1bP>|term 1\x1b\\e\r"):
            person.type(part)
        person.until(lambda: person.shows("echo: abc_e"))
    assert prompts() == ["abc_e"]


def test_who_only_looks_can_type_nothing(make_daemon: Any, demo_slot: str, prompts: Any) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon, "/attach/demo?mode=view") as viewer, attached(daemon) as person:
        viewer.type("rm -rf\r")
        viewer.tell(type="resize", rows=20, cols=60)
        viewer.until(lambda: len(viewer.of("error")) == 2)
        assert {error["code"] for error in viewer.of("error")} == {"forbidden"}
        person.type("mine\r")
        viewer.until(lambda: viewer.shows("echo: mine"))
    assert prompts() == ["mine"]
    assert slot(daemon).size.rows == 40


def test_the_last_who_types_has_the_size_and_the_configured_one_comes_back(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")

    def size() -> tuple[int, int]:
        found = slot(daemon).size
        return found.rows, found.cols

    with attached(daemon, "/attach/demo?mode=view") as viewer:
        with attached(daemon, "/attach/demo?rows=30&cols=90") as first:
            assert (first.hello["rows"], first.hello["cols"]) == (30, 90)
            with attached(daemon, "/attach/demo?rows=20&cols=70") as second:
                first.until(lambda: first.size() == (20, 70))
                second.tell(type="resize", rows=21, cols=71)
                first.until(lambda: first.size() == (21, 71))
                assert size() == (21, 71)
                assert not second.of("resize")
                second.tell(type="resize", rows=1, cols=70)
                second.until(lambda: second.of("error"))
                assert second.of("error")[0]["code"] == "invalid_field"
            first.until(lambda: first.size() == (30, 90))
            assert size() == (30, 90)
        viewer.until(lambda: viewer.size() == (40, 120))
        assert size() == (40, 120)
        daemon.inject("demo", "afterwards")
        viewer.until(lambda: viewer.shows("echo: afterwards"))
        assert viewer.rows() == daemon.get("/screen/demo", Screen).rows


def test_a_size_that_comes_from_elsewhere_is_told_to_whoever_had_the_last(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon, "/attach/demo?rows=30&cols=90") as sized, attached(daemon) as unsized:
        daemon.call("POST", "/resize/demo", {"rows": 24, "cols": 80})
        sized.until(lambda: sized.size() == (24, 80))
        unsized.until(lambda: unsized.size() == (24, 80))
        pid = slot(daemon).pid
        daemon.call("POST", "/restart/demo", {})
        daemon.wait_for("demo", "idle")
        assert slot(daemon).pid != pid
        unsized.until(lambda: unsized.size() == (30, 90))


def test_a_reader_that_stands_still_gets_a_gap_and_the_screen(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon, "/attach/demo?mode=view", receive_bytes=4096) as viewer:
        with attached(daemon) as person:
            person.type("lines 220000 100000\r")
            daemon.wait_for("demo", "busy")
        # Nobody reads from `viewer` meanwhile.
        daemon.wait_for("demo", "idle", 60)
        assert slot(daemon).counters.bytes_read > 1_200_000
        viewer.until(lambda: viewer.of("gap"), 40)
        assert viewer.of("gap")[0]["lost_bytes"] > 0
        viewer.until(lambda: viewer.rows() == daemon.get("/screen/demo", Screen).rows, 40)


def test_the_end_of_the_agent_is_told_and_its_next_run_shown(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon) as person:
        person.type("exit 0\r")
        person.until(lambda: person.of("exit"))
        told = person.of("exit")[0]
        assert told["exit"]["code"] == 0
        assert told["pid"] == person.hello["pid"]
        assert told["status"] == "stopped"
        person.type("nobody\r")
        person.until(lambda: person.of("error"))
        assert person.of("error")[0]["code"] == "slot_not_running"
        daemon.call("POST", "/start/demo", {})
        person.until(lambda: person.of("started"))
        assert person.of("started")[0]["pid"] == slot(daemon).pid
        person.until(lambda: person.shows("demo agent ready") and not person.shows("exit 0"))


def test_an_attached_terminal_outlives_nothing_but_finds_the_agent_again(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon, "/attach/demo?rows=25&cols=80") as person:
        person.type("before\r")
        person.until(lambda: person.shows("echo: before"))
        daemon.kill()
        person.until(lambda: person.closed)
    daemon.start()
    with attached(daemon, "/attach/demo?rows=25&cols=80") as person:
        person.until(lambda: person.shows("echo: before"))
        person.type("after\r")
        person.until(lambda: person.shows("echo: after"))
    assert slot(daemon).size.rows == 40


def test_a_daemon_that_ends_says_so(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon) as person, attached(daemon, "/attach/demo?mode=view") as viewer:
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 10
        for one in (person, viewer):
            one.until(lambda one=one: one.closed)
            assert one.closed is not None
            assert one.closed.rcvd is not None
            assert one.closed.rcvd.code == 1001


def test_a_stopped_reader_does_not_hold_up_the_end_of_the_daemon(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with sockets.create_connection(("127.0.0.1", daemon.port)) as still:
        still.sendall(
            f"GET /attach/demo?mode=view HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert still.recv(12) == b"HTTP/1.1 101"
        daemon.inject("demo", "lines 60000 30000", until="submitted")
        daemon.wait_for("demo", "idle", 60)
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 10


def test_the_audit_log_tells_who_was_attached_and_how_much_they_typed(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    with attached(daemon) as person:
        person.type("hunter2\r")
        person.until(lambda: person.shows("echo: hunter2"))
    with attached(daemon, "/attach/demo?mode=view"):
        pass
    log = Path(daemon.state / "audit.jsonl")
    deadline = time.monotonic() + 10
    while log.read_text().count('"detach"') < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [(line["action"], line["slot"], line["bytes"]) for line in lines]
    assert told == [
        ("attach control", "demo", 0), ("detach", "demo", 8), ("attach view", "demo", 0), ("detach", "demo", 0),
    ]  # fmt: skip
    assert "hunter2" not in log.read_text()
    assert not any("sha256" in line for line in lines)


def test_who_stands_still_over_a_crash_loop_is_told_of_no_run_without_its_pid(
    make_daemon: Any, short_tmp: Path
) -> None:
    """While the reader stands still a run ends, and another begins and ends."""
    script = short_tmp / "crash.sh"
    script.write_text(
        f'[ -e "{short_tmp}/again" ] && exit 1\ntouch "{short_tmp}/again"\nread go\nseq 2000000\nexit 1\n'
    )
    daemon: DaemonProcess = make_daemon(
        f'[[slots]]\nname = "demo"\nkind = "generic"\ncommand = ["sh", "{script}"]\nrestart = "on-failure"\n'
    )
    with attached(daemon, "/attach/demo?mode=view", receive_bytes=4096) as viewer:
        daemon.call("POST", "/keys/demo", {"keys": ["Enter"]})
        deadline = time.monotonic() + 60
        while slot(daemon).restarts < 2:  # the second run is over: a third had to be begun
            assert time.monotonic() < deadline
            time.sleep(0.1)
        viewer.until(lambda: len(viewer.of("exit")) >= 2, 60)
    told = [(text["type"], text["pid"]) for text in viewer.texts if text["type"] in ("attached", "started", "exit")]
    assert all(pid is not None for _, pid in told), told
    begun = {pid for kind, pid in told if kind != "exit"}
    assert {pid for kind, pid in told if kind == "exit"} <= begun, told
