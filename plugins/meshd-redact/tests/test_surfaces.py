"""A secret on its way through a real daemon: cut, coloured, moved, wrapped, killed between; no surface shows it."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import Screen, SlotDetail

SECRET = "sk-ant-api03-aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY-aB3dE5fG7hJ9kL1mN2pQ4rS6"
SHOWN = "[redacted]"
KINDS = ("demo", "drawn")


def leaks(text: str, size: int = 10) -> list[str]:
    """Pieces of the secret that `text` shows, also over line breaks, and whatever frames are around."""
    flat = re.sub(r'\s|│|\\n|","|"', "", text)
    return [SECRET[at : at + size] for at in range(len(SECRET) - size + 1) if SECRET[at : at + size] in flat]


FORMS = {
    "as it is": f"key {SECRET} ok",
    "coloured between characters": "key " + "".join(f"\x1b[3{n % 8}m{c}" for n, c in enumerate(SECRET)) + "\x1b[0m ok",
    "drawn backwards": f"key {' ' * 30}\x1b[30D{SECRET[:30]}{SECRET[30:]} ok",
    "over a carriage return": f"{'x' * 20}\rkey {SECRET} ok",
    "with a hyperlink": f"\x1b]8;;https://x.example/\x1b\\{SECRET}\x1b]8;;\x1b\\ ok",
    "behind wide characters": f"密钥是{SECRET}好",
    "over two lines": f"key {SECRET[:25]}\r\n{SECRET[25:]} ok",
    "over three lines in a frame": "".join(f"│ {part:20} │\r\n" for part in (SECRET[:18], SECRET[18:36], SECRET[36:])),
    "in the title": f"\x1b]2;job {SECRET}\x07",
    "in quotes": f'{{"key": "{SECRET}"}}',
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_no_surface_shows_a_secret_whatever_it_looks_like_in_the_bytes(show: Callable[..., Any], kind: str) -> None:
    one = show(kind)
    for number, form in enumerate(FORMS.values()):
        one.write(f"{form}\r\nend {number}\r\n")
        one.settle(f"end {number}")
        assert leaks(one.everything()) == [], form
    lines = one.daemon.lines("s")
    assert [line for line in lines if line.startswith("end ")] == [f"end {n}" for n in range(len(FORMS))]
    assert sum(SHOWN in line for line in lines) >= len(FORMS) - 1
    assert one.daemon.get("/slots/s", SlotDetail).title == f"job {SHOWN}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_that_comes_in_pieces_is_never_shown_in_part(show: Callable[..., Any], kind: str) -> None:
    one = show(kind)
    for at in range(0, len(SECRET), 9):
        one.write(SECRET[at : at + 9] if at else f"key {SECRET[:9]}")
        assert leaks(one.everything(), 14) == []
    one.write(" ok\r\nend\r\n")
    one.settle("end")
    assert leaks(one.everything()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_that_has_half_scrolled_off_is_not_shown_by_the_screen(show: Callable[..., Any], kind: str) -> None:
    one = show(kind)
    one.write(f"key {SECRET[:26]}\r\n{SECRET[26:]} ok\r\n")
    for number in range(12):
        one.write(f"row {number}\r\n")
        one.settle(f"row {number}")
        screen = one.daemon.get("/screen/s", Screen)
        assert leaks("\n".join(screen.rows)) == []
    one.write(f"wrapped {SECRET}{SECRET[13:]} ok\r\n")
    for number in range(20, 32):
        one.write(f"row {number}\r\n")
        one.settle(f"row {number}")
        assert leaks("\n".join(one.daemon.get("/screen/s", Screen).rows)) == []


def test_a_dialog_that_quotes_the_rest_of_a_secret_is_withheld(show: Callable[..., Any]) -> None:
    one = show("drawn")
    one.write(f"key {SECRET[:20]}\r\napprove {SECRET[20:]}\r\n")
    detail = one.daemon.wait_for("s", "waiting")
    assert detail.activity.state == "waiting"
    assert detail.dialog is not None
    one.write("\x1b[2J\x1b[Hgone\r\n")
    one.settle("gone")
    assert leaks(one.everything() + one.daemon.call("GET", "/output/s?since=oldest").decode()) == []


def test_an_echoed_prompt_is_redacted_and_so_is_the_answer(short_tmp: Path) -> None:
    slots = '[[slots]]\nname = "s"\nkind = "demo"\nfilters = ["redact"]\n'
    with DaemonProcess(short_tmp, slots) as daemon:
        daemon.wait_for("s", "idle")
        receipt = daemon.inject("s", f"keep {SECRET} safe")
        assert receipt.reply == f"echo: keep {SHOWN} safe"
        seen = b"".join(daemon.call("GET", path) for path in ("/slots/s", "/screen/s", "/output/s?since=oldest"))
        assert leaks(seen.decode() + daemon.log.read_text()) == []
        audit = b"".join(path.read_bytes() for path in daemon.state.glob("*.jsonl"))
        assert leaks(audit.decode()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wait_s", [0.0, 0.7])
def test_a_held_line_is_neither_lost_nor_doubled_nor_shown_by_a_kill(
    show: Callable[..., Any], kind: str, wait_s: float
) -> None:
    one = show(kind)
    expected = ["ready"]
    for turn in range(3):
        one.write(f"before {turn}\r\nkey {SECRET[:40]}\r\n")
        one.settle(f"before {turn}")
        time.sleep(wait_s)  # the point: the kill comes before, or after, the held line was let out
        one.daemon.kill()
        one.daemon.start()
        one.write(f"{SECRET[40:]} rest\r\nafter {turn}\r\n")
        one.settle(f"after {turn}")
        expected += [f"before {turn}", f"key {SHOWN}", f"{SHOWN} rest", f"after {turn}"]
        assert one.daemon.lines("s") == expected
    assert leaks(one.everything()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_redacted_lines_on_the_screen_come_once_over_a_kill(show: Callable[..., Any], kind: str) -> None:
    one = show(kind)
    expected = ["ready", f"key {SHOWN}", f"and {SHOWN} too", "end"]
    one.write(f"key {SECRET}\r\nand {SECRET} too\r\nend\r\n")
    one.settle("end")
    for turn in range(2):
        one.daemon.kill()
        one.write(f"more {turn} {SECRET}\r\nend {turn}\r\n")
        one.daemon.start()
        one.settle(f"end {turn}")
        expected += [f"more {turn} {SHOWN}", f"end {turn}"]
        assert one.daemon.lines("s") == expected


def test_a_held_line_is_let_out_when_nothing_follows(show: Callable[..., Any]) -> None:
    one = show()
    one.write("a separator\r\n-----\r\n")
    one.settle("-----")
    one.write(f"key {SECRET[:18]}\r\n")
    one.settle(f"key {SHOWN}")


def test_a_flood_stays_within_bounds_and_the_daemon_goes_on_answering(show: Callable[..., Any]) -> None:
    one = show()
    size = 20_000_000
    source = one.pipe.parent / "flood"
    piece = "".join(f"step {n} of a build that says much, src/module_{n}.c done\r\n" for n in range(1000))
    source.write_text(piece * (size // len(piece)) + f"key {SECRET} ok\r\nend\r\n")
    before = _memory(one.daemon.pid)
    one.write(source.read_text()[:10])
    slowest = 0.0
    writer = threading.Thread(target=one.write, args=(source.read_text(),), daemon=True)
    writer.start()
    deadline = time.monotonic() + 90
    while "end" not in one.daemon.lines("s")[-3:]:
        started = time.monotonic()
        one.daemon.call("GET", "/health")
        slowest = max(slowest, time.monotonic() - started)
        assert time.monotonic() < deadline
    writer.join(10)
    assert _memory(one.daemon.pid) - before < 64 * 1024
    assert slowest < 5.0
    assert leaks(one.everything()) == []


def test_a_pattern_that_takes_too_long_withholds_and_leaves_other_slots_alone(show: Callable[..., Any]) -> None:
    patterns = "[plugins.redact.patterns]\nslow = '(?:a|aa)+(?:a|aa)+(?:a|aa)+\\d'\n"
    one = show(extra='[[slots]]\nname = "other"\nkind = "demo"\n\n' + patterns)
    one.daemon.wait_for("other", "idle")
    one.write("a" * 3000 + f" {SECRET}\r\n" + f"{SECRET}\r\n" * 50)
    started = time.monotonic()
    assert one.daemon.inject("other", "hello").reply == "echo: hello"
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 20
    while not any("withheld" in line for line in one.daemon.lines("s")):
        assert time.monotonic() < deadline
    assert leaks(one.everything()) == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("patterns = { badge = '(' }", "pattern 'badge' is not a regular expression"),
        ("patterns = { badge = 'x*' }", "pattern 'badge' matches the empty text"),
        ("pattern = 'x'", "pattern"),
        ('replacement = "a\\nb"', "must be one line"),
    ],
)
def test_a_wrong_configuration_stops_the_start_and_is_named(short_tmp: Path, table: str, words: str) -> None:
    slots = f'[[slots]]\nname = "s"\nkind = "demo"\nfilters = ["redact"]\n[plugins.redact]\n{table}\n'
    daemon = DaemonProcess(short_tmp, slots)
    assert daemon.spawn().wait(timeout=30) == 78
    assert words in daemon.log.read_text()
    daemon._process = None


def test_without_the_plugin_a_slot_that_names_it_stops_the_start(short_tmp: Path) -> None:
    slots = '[[slots]]\nname = "s"\nkind = "demo"\nfilters = ["redact"]\n'
    daemon = DaemonProcess(short_tmp, slots, {"MESHD_PLUGINS": "demo"})
    assert daemon.spawn().wait(timeout=30) == 78
    assert "redact" in daemon.log.read_text()
    daemon._process = None


def _memory(pid: int) -> int:
    """Resident memory in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])
