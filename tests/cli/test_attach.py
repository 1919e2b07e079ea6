"""`meshd attach` in a real terminal: keys, sizes, letting go, coming back, and a terminal that is as it was."""

import contextlib
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import SlotDetail

SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp, SLOT) as made:
        made.wait_for("demo", "idle")
        yield made


@contextlib.contextmanager
def person(daemon: DaemonProcess, *options: str, url: bool = False, rows: int = 30) -> Iterator[Any]:
    """`meshd attach` in a terminal of its own, as a shell would start it."""
    env = {**os.environ, "MESHD_RUNTIME_DIR": str(daemon.runtime), "TERM": "xterm-256color"}
    if url:
        env |= {"MESHD_URL": f"http://127.0.0.1:{daemon.port}", "MESHD_TOKEN": daemon.token}
    command = [sys.executable, "-m", "meshd_core.cli", "attach", "demo", *options]
    child = pexpect.spawn(command[0], command[1:], env=env, dimensions=(rows, 90), timeout=20, encoding="utf-8")
    child.before_attach = termios.tcgetattr(child.child_fd)
    try:
        yield child
    finally:
        child.close(force=True)


def is_as_it_was(child: Any) -> bool:
    return bool(termios.tcgetattr(child.child_fd) == child.before_attach)


def slot(daemon: DaemonProcess) -> SlotDetail:
    return daemon.get("/slots/demo", SlotDetail)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("url", [False, True], ids=["socket", "url"])
def test_keys_go_to_the_agent_and_the_detach_key_lets_go(daemon: DaemonProcess, url: bool) -> None:
    with person(daemon, url=url) as child:
        child.expect_exact("demo agent ready")
        assert not is_as_it_was(child)
        assert slot(daemon).size.rows == 30
        child.send("typed\r")
        child.expect_exact("echo: typed")
        child.setwinsize(25, 70)
        until(lambda: (slot(daemon).size.rows, slot(daemon).size.cols) == (25, 70))
        child.send("left\x1d")
        child.expect_exact("detached from demo; its agent goes on")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    until(lambda: slot(daemon).size.rows == 40)
    assert slot(daemon).status == "running"


@pytest.mark.parametrize("form", ["\x01", "\x1b[97;5u", "\x1b[27;5;97~"])
def test_another_detach_key_in_each_form_that_a_terminal_may_send(daemon: DaemonProcess, form: str) -> None:
    with person(daemon, "--detach-key", "ctrl-a", "--json") as child:
        child.expect_exact("demo agent ready")
        child.send(form)
        child.expect_exact('{"slot": "demo", "ended": "detached"}')


def test_who_only_looks_types_nothing_and_leaves_by_ctrl_c(daemon: DaemonProcess) -> None:
    with person(daemon, "--view") as child:
        child.expect_exact("demo agent ready")
        child.send("nothing\r")
        daemon.inject("demo", "said by another")
        child.expect_exact("echo: said by another")
        child.send("\x03")
        child.expect_exact("detached from demo")
    assert "echo: nothing" not in daemon.lines("demo")
    assert slot(daemon).size.rows == 40


def test_it_comes_back_after_the_daemon_was_killed(daemon: DaemonProcess) -> None:
    with person(daemon) as child:
        child.expect_exact("demo agent ready")
        child.send("before\r")
        child.expect_exact("echo: before")
        daemon.kill()
        child.expect_exact("trying again")
        daemon.start()
        child.expect_exact("echo: before")  # painted anew
        child.send("after\r")
        child.expect_exact("echo: after")
        daemon.kill()
        child.expect_exact("trying again")
        child.send("\x1d")
        child.expect_exact("detached from demo")


def test_the_end_of_the_agent_ends_it_with_a_message(daemon: DaemonProcess) -> None:
    with person(daemon) as child:
        child.expect_exact("demo agent ready")
        child.send("exit 0\r")
        child.expect_exact("the agent of demo has ended with status 0")
        child.expect(pexpect.EOF)
    with person(daemon) as child:
        child.expect_exact("slot demo is stopped")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(daemon: DaemonProcess, signum: signal.Signals) -> None:
    with person(daemon) as child:
        child.expect_exact("demo agent ready")
        keep = os.dup(child.child_fd)
        child.kill(signum)
        child.expect(pexpect.EOF)
        output = child.before
        child.wait()
        assert child.exitstatus == 128 + signum
        assert "\x1b[?2004l" in output
        assert "\x1b[?25h" in output
        os.close(keep)


def test_the_modes_of_the_terminal_come_back_however_it_ends(daemon: DaemonProcess) -> None:
    """Seen by a shell that goes on in the same terminal."""
    env = {**os.environ, "MESHD_RUNTIME_DIR": str(daemon.runtime)}
    attach = f"{sys.executable} -m meshd_core.cli attach demo"
    child = pexpect.spawn(
        "/bin/sh", ["-c", f"stty -g; {attach}; stty -g; kill -0 $$"], env=env, timeout=20, encoding="utf-8"
    )
    before = child.readline().strip()
    child.expect_exact("demo agent ready")
    child.send("\x1d")
    child.expect_exact("detached from demo; its agent goes on\r\n")
    assert child.readline().strip() == before
    child.close(force=True)


def test_without_a_terminal_it_says_so(daemon: DaemonProcess) -> None:
    output, status = pexpect.run(
        f"/bin/sh -c '{sys.executable} -m meshd_core.cli attach demo < /dev/null'", withexitstatus=True
    )
    assert status == 2
    assert b"needs a terminal" in output
