"""keys, interrupt, answer and resize against a real daemon with the demo agent."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from meshd_core.testing.daemon import DaemonProcess


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    """A daemon with an idle demo agent, where `meshd` looks for it."""
    with DaemonProcess(short_tmp, '[[slots]]\nname = "demo"\nkind = "demo"\n') as running:
        running.wait_for("demo", "idle")
        yield running


@pytest.fixture
def hand(meshd: Any, daemon: DaemonProcess) -> Callable[..., Any]:
    return lambda *words, **more: meshd(*words, MESHD_RUNTIME_DIR=str(daemon.runtime), **more)


def test_keys_and_raw_bytes_are_typed(daemon: DaemonProcess, hand: Any, eventually: Any) -> None:
    done = hand("keys", "demo", "h", "i", "Enter")
    assert (done.returncode, done.stdout) == (0, "demo: 3 bytes\n"), done.stderr
    eventually(lambda: "echo: hi" in daemon.lines("demo"))
    assert json.loads(hand("keys", "demo", "--stdin", "--json", stdin="ho\r").stdout)["bytes_written"] == 3
    eventually(lambda: "echo: ho" in daemon.lines("demo"))


def test_bad_keys_are_told_and_nothing_is_pressed(hand: Any) -> None:
    slip = hand("keys", "demo", "Entr")
    assert slip.returncode == 1
    assert "did you mean 'Enter'?" in slip.stderr
    assert hand("keys", "demo").returncode == 2
    assert hand("keys", "demo", "x", "--stdin").returncode == 2


def test_an_interrupt_says_what_the_agent_is_then(daemon: DaemonProcess, hand: Any) -> None:
    daemon.inject("demo", "slow 60", until="submitted")
    done = hand("interrupt", "demo")
    assert (done.returncode, done.stdout) == (0, "demo: idle\n"), done.stderr


def test_a_dialog_is_shown_and_answered(daemon: DaemonProcess, hand: Any) -> None:
    assert hand("answer", "demo", "accept").returncode == 1
    daemon.inject("demo", "ask", until="submitted")
    daemon.wait_for("demo", "waiting")
    shown = hand("answer", "demo")
    assert shown.returncode == 0
    assert shown.stdout.splitlines() == ["Allow the demo to continue?", "  accept: accept", "  deny: deny"]
    dialog = json.loads(hand("answer", "demo", "--json").stdout)
    assert hand("answer", "demo", "accept", "--dialog", "d0-0").returncode == 1
    done = hand("answer", "demo", "deny", "--dialog", dialog["id"])
    assert (done.returncode, done.stdout) == (0, "demo: deny: Allow the demo to continue?\n"), done.stderr
    daemon.wait_for("demo", "idle")
    assert daemon.lines("demo")[-1] == "denied"


def test_on_a_terminal_the_answer_is_asked_for(daemon: DaemonProcess, environment: dict[str, str]) -> None:
    daemon.inject("demo", "ask", until="submitted")
    daemon.wait_for("demo", "waiting")
    env: Any = environment | {"MESHD_RUNTIME_DIR": str(daemon.runtime)}
    asked = pexpect.spawn(sys.executable, ["-m", "meshd_core.cli", "answer", "demo"], env=env, timeout=20)
    asked.expect(r"answer \(accept, deny\):")
    asked.sendline("accept")
    asked.expect("demo: accept")
    asked.expect(pexpect.EOF)
    asked.close()
    assert asked.exitstatus == 0
    daemon.wait_for("demo", "idle")
    assert daemon.lines("demo")[-1] == "accepted"


def test_a_size_is_set(hand: Any) -> None:
    assert hand("resize", "demo", "50", "160").stdout == "demo: 160 x 50\n"
    assert hand("resize", "demo", "1", "160").returncode == 2
