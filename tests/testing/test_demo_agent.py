"""The demo agent in a real terminal: what it prints, signals, logs, and when it ends."""

import codecs
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

IDLE = "\x1b]7501;state=idle:app=demo\x1b\\"
WORKING = "\x1b]7501;state=working:app=demo\x1b\\"
DONE = "\x1b]7501;state=done:app=demo\x1b\\"
BLOCKED = "\x1b]7501;state=blocked:app=demo:kind=permission\x1b\\"
OSC = re.compile(r"\x1b\][^\x1b]*\x1b\\")


class DemoRun:
    """A demo agent in a PTY, with everything that it wrote so far."""

    def __init__(self, log: Path) -> None:
        self.log = log
        env = {**os.environ, "MESHD_DEMO_LOG": str(log), "PYTHONPATH": str(Path(__file__).parents[2])}
        argv = ["-P", "-m", "meshd_core.testing.demo_agent"]
        self.child = pexpect.spawn(sys.executable, argv, env=env, dimensions=(40, 120), echo=False, encoding=None)
        self.child.delaybeforesend = None
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def send(self, keys: str) -> None:
        os.write(self.child.child_fd, keys.encode())

    def read(self, timeout_s: float) -> None:
        self.text += self._decoder.decode(self.child.read_nonblocking(65536, timeout=timeout_s))

    def fill(self) -> None:
        """Write until the kernel takes no more: nobody reads at the other end."""
        deadline = time.monotonic() + 10
        with contextlib.suppress(BlockingIOError):
            while os.write(self.child.child_fd, b"x" * 1024):
                assert time.monotonic() < deadline

    def until(self, condition: Callable[[str], bool], within_s: float = 10.0) -> str:
        """What it wrote, once `condition` holds for it."""
        deadline = time.monotonic() + within_s
        while not condition(self.text):
            assert time.monotonic() < deadline, f"not seen: {self.text[-500:]!r}"
            try:
                self.read(timeout_s=0.2)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert condition(self.text), f"ended early: {self.text[-500:]!r}"
        return self.text

    def until_idle(self, times: int = 1) -> str:
        return self.until(lambda text: text.count(IDLE) >= times and text.endswith("demo> "))

    def rows(self) -> list[str]:
        """The rows that ended, as a terminal shows them: what a CR + erase removed is gone."""
        rows = OSC.sub("", self.text).replace("\x1b[?2004h", "").split("\r\n")
        return [row.rsplit("\r\x1b[K", 1)[-1] for row in rows]

    def prompts(self) -> list[str]:
        return [json.loads(line)["text"] for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def exit_status(self) -> int:
        self.until(lambda _: not self.child.isalive())
        return int(self.child.exitstatus)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoRun]:
    run = DemoRun(tmp_path / "demo.jsonl")
    run.until_idle()
    yield run
    run.child.close(force=True)


def test_a_prompt_is_echoed_and_logged_and_signalled(demo: DemoRun) -> None:
    demo.send("hello there\r")
    demo.until_idle(2)
    assert demo.rows()[-3:] == ["demo> hello there", "echo: hello there", "demo> "]
    signals = "".join(re.findall(r"\x1b\]7501[^\x1b]*\x1b\\", demo.text))
    assert signals == IDLE + WORKING + DONE + IDLE
    assert demo.prompts() == ["hello there"]


def test_a_pasted_prompt_keeps_its_newlines_and_is_one_prompt(demo: DemoRun) -> None:
    demo.send("\x1b[200~one\ntwo äß\x1b[201~\r")
    demo.until_idle(2)
    assert demo.rows()[-4:] == ["demo> one↵two äß", "echo: one", "two äß", "demo> "]
    assert demo.prompts() == ["one\ntwo äß"]


def test_a_paste_that_comes_byte_by_byte_is_the_same_prompt(demo: DemoRun) -> None:
    for byte in "\x1b[200~a\x1b[20 ü!\x1b[201~\r".encode():
        os.write(demo.child.child_fd, bytes([byte]))
    demo.until_idle(2)
    assert demo.prompts() == ["a\x1b[20 ü!"]
    assert "\x1b[20 " not in demo.text


def test_a_256_kib_paste_arrives_whole(demo: DemoRun) -> None:
    text = "".join(f"{number:07d}\n" for number in range(32768))[:-1]
    data = f"\x1b[200~{text}\x1b[201~".encode()
    while data:
        data = data[os.write(demo.child.child_fd, data[:2048]) :]
        demo.read(timeout_s=5)
    demo.send("\r")
    demo.until_idle(2)
    assert demo.prompts() == [text]


def test_keys_edit_the_input_line(demo: DemoRun) -> None:
    demo.send("wrong\x15abX\x7fc\x1b[Dd\r")
    demo.until_idle(2)
    assert demo.prompts() == ["abcd"]


def test_ctrl_c_clears_the_input_line(demo: DemoRun) -> None:
    demo.send("dropped\x03kept\r")
    demo.until_idle(2)
    assert demo.prompts() == ["kept"]


def test_slow_shows_a_spinner_that_leaves_no_row(demo: DemoRun) -> None:
    demo.send("slow 0.5\r")
    demo.until_idle(2)
    assert "working" in demo.text
    assert demo.rows()[-3:] == ["demo> slow 0.5", "slow: done after 0.5 s", "demo> "]


def test_ctrl_c_interrupts_work(demo: DemoRun) -> None:
    demo.send("slow 600\r")
    demo.until(lambda text: WORKING in text)
    demo.send("\x03")
    demo.until_idle(2)
    assert demo.rows()[-2:] == ["interrupted", "demo> "]


def test_prompts_typed_while_it_works_run_afterwards_in_order(demo: DemoRun) -> None:
    demo.send("slow 0.4\r")
    demo.until(lambda text: WORKING in text)
    demo.send("first\rsecond\r")
    demo.until_idle(2)
    assert demo.rows()[-6:] == [
        "slow: done after 0.4 s",
        "demo> first",
        "echo: first",
        "demo> second",
        "echo: second",
        "demo> ",
    ]
    assert demo.prompts() == ["slow 0.4", "first", "second"]


def test_lines_prints_every_number_once_at_the_rate(demo: DemoRun) -> None:
    started = time.monotonic()
    demo.send("lines 2500 5000\r")
    demo.until_idle(2)
    took_s = time.monotonic() - started
    assert [row for row in demo.rows() if row.startswith("line ")] == [f"line {n}" for n in range(1, 2501)]
    assert 0.45 < took_s < 5


def test_a_terminal_that_is_not_drained_delays_lines_and_loses_none(demo: DemoRun) -> None:
    demo.send("lines 30000 0\r")
    demo.send("\x1b[200~typed ahead\x1b[201~\r")
    deadline = time.monotonic() + 10
    while "typed ahead" not in demo.prompts():  # read although nobody reads what it writes
        assert time.monotonic() < deadline
        time.sleep(0.01)
    demo.until_idle(2)
    assert [row for row in demo.rows() if row.startswith("line ")] == [f"line {n}" for n in range(1, 30001)]


@pytest.mark.parametrize(
    ("key", "answer"), [("y", "accepted"), ("n", "denied"), ("\x1b", "denied"), ("\x03", "denied")]
)
def test_the_dialog_takes_its_keys_and_no_others(demo: DemoRun, key: str, answer: str) -> None:
    demo.send("ask\r")
    demo.until(lambda text: BLOCKED in text)
    demo.send("\r\x1b[200~y\x1b[201~\r" + key)
    demo.until_idle(2)
    assert demo.rows()[-6:] == [
        "demo> ask",
        "Allow the demo to continue?",
        "  y  accept",
        "  n  deny",
        answer,
        "demo> ",
    ]
    assert demo.prompts() == ["ask"]


def test_fail_signals_an_error(demo: DemoRun) -> None:
    demo.send("fail\r")
    demo.until_idle(2)
    assert demo.rows()[-2] == "error: it failed"
    assert "state=error:app=demo" in demo.text


@pytest.mark.parametrize(("keys", "status"), [("exit 7\r", 7), ("\x04", 0), ("/exit\r", 0)])
def test_it_ends_with_the_status_asked_for(demo: DemoRun, keys: str, status: int) -> None:
    demo.send(keys)
    assert demo.exit_status() == status


def test_a_hung_agent_reads_nothing_more(demo: DemoRun) -> None:
    demo.send("hang\r")
    demo.until(lambda text: WORKING in text)
    demo.send("unread\r")
    os.set_blocking(demo.child.child_fd, False)
    demo.fill()
    assert demo.prompts() == ["hang"]


def test_it_refuses_to_run_without_a_terminal() -> None:
    read, write = os.pipe()
    os.close(write)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "meshd_core.testing.demo_agent"],
        {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        file_actions=[(os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)],
    )
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
