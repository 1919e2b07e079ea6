"""A terminal that closes: `meshd serve` reads its configuration again and goes on, `meshd demo` ends it all."""

import fcntl
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meshd_core.client import MeshdClient, Unreachable


def until(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def in_a_terminal(*arguments: str) -> tuple["subprocess.Popen[bytes]", int]:
    """The command as the first process of a terminal of its own, and the terminal's master."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "meshd_core.cli", *arguments], stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.close(slave)
    return process, master


def answers(socket: Path) -> bool:
    try:
        with MeshdClient(socket=socket) as client:
            return client.health().status == "ok"
    except (Unreachable, OSError):
        return False


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_closed_terminal(short_tmp: Path, command: str) -> None:
    folder, config = short_tmp / "d", short_tmp / "d" / "meshd.toml"
    folder.mkdir()
    slots = '[[slots]]\nname = "demo"\nkind = "demo"\n'
    config.write_text(f'[node]\nbind = ["127.0.0.1"]\nport = 0\n\n{slots}')
    places = ["--config", str(config), "--state-dir", str(folder / "state"), "--runtime-dir", str(folder / "run")]
    process, master = in_a_terminal(command, *(places if command == "serve" else ["--dir", str(folder)]))
    socket = folder / "run" / "meshd.sock"
    until(lambda: answers(socket))
    with MeshdClient(socket=socket) as client:
        until(lambda: client.slot("demo").status == "running")
        agent = client.slot("demo").pid
        config.write_text(config.read_text() + slots.replace("demo", "more", 1) + "autostart = false\n")
        os.close(master)
        if command == "serve":
            until(lambda: [slot.name for slot in client.slots()] == ["demo", "more"])
            client.shutdown("stop")
    assert process.wait(30) == 0
    assert not os.path.exists(f"/proc/{agent}")
