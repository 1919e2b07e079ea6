"""A person attached to a real claude sees what they would see with the CLI in a terminal of its own.

Two panes of one private tmux server, of the same size: `meshd attach` in one, the same binary in the other with what
the kind adds to the environment (without it the CLI is on the alternate screen, and draws its input at the bottom), the
same keys to both. Compared is what tmux captured, row by row, after taking out what differs between any two runs: the
working folder, counts of seconds and tokens, spinners and tips.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshd_claude.kind import ENVIRONMENT

from meshd_core.slots.launch import UNATTENDED
from meshd_core.testing.sandbox import claude_home
from meshd_core.types import Size, SlotDetail

pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
ROWS, COLS = 40, 120
_VARYING = re.compile(
    r"[✻✶✳✽✢·◐◑⠂⠐*]\s\w+(?:…|\.\.\.).*"  # a spinner with its word
    r"|[✻✶✳✽✢]\s\w+ for \d+s.*"
    r"|\(?\d+(?:\.\d+)?s\)?|\d+(?:\.\d+)?k? tokens"
    r"|Tip:.*|※.*"
)


class Panes:
    """Pane A has the attached terminal, pane B the CLI itself."""

    def __init__(self, name: str) -> None:
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        self._folders: dict[str, str] = {}

    def open(self, pane: str, command: str, cwd: Path, env: dict[str, str], folder: Path) -> None:
        pairs = [f"{key}={value}" for key, value in env.items()]
        size = ["-x", str(COLS), "-y", str(ROWS)]
        gone = ["TMUX", "TMUX_PANE", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", *UNATTENDED]
        script = f"exec env {shlex.join(f'--unset={name}' for name in gone)} {shlex.join(pairs)} {command}"
        # The status line must be off before the pane is born: the CLI would start one row smaller, and redraw.
        bare = ["start-server", ";", "set-option", "-g", "status", "off", ";"]
        self._run(*bare, "new-session", "-d", *size, "-s", pane, "-c", str(cwd), script)
        self._run("set-option", "-t", pane, "remain-on-exit", "on")
        self._run("resize-window", "-t", pane, *size)
        self._folders[pane] = str(folder)

    def keys(self, *keys: str) -> None:
        """The same keys to both."""
        for pane in self._folders:
            self._run("send-keys", "-t", pane, *keys)

    def paste(self, text: str) -> None:
        self._run("set-buffer", text)
        for pane in self._folders:
            self._run("paste-buffer", "-p", "-t", pane)

    def resize(self, rows: int, cols: int) -> None:
        for pane in self._folders:
            self._run("resize-window", "-t", pane, "-x", str(cols), "-y", str(rows))

    def respawn(self, pane: str, command: str) -> None:
        self._run("respawn-pane", "-k", "-t", pane, command)

    def to(self, pane: str, *keys: str) -> None:
        self._run("send-keys", "-t", pane, *keys)

    def shown(self, pane: str) -> str:
        return self._run("capture-pane", "-p", "-t", pane)

    def normal(self, pane: str) -> list[str]:
        """What the pane shows, without what differs between any two runs."""
        text = self.shown(pane).replace(self._folders[pane], "<folder>")
        return [_VARYING.sub("", row).rstrip() for row in text.split("\n")]

    def both_show(self, text: str, within_s: float = 40) -> None:
        deadline = time.monotonic() + within_s
        while not all(text in self.shown(pane) for pane in self._folders):
            assert time.monotonic() < deadline, "\n=====\n".join(self.shown(pane) for pane in self._folders)
            time.sleep(0.2)

    def become_equal(self, within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while (a := self.normal("a")) != (b := self.normal("b")):
            different = "\n".join(f"A {x!r}\nB {y!r}" for x, y in zip(a, b, strict=False) if x != y)
            assert time.monotonic() < deadline, f"{different}\n=====\n{self.shown('a')}\n=====\n{self.shown('b')}"
            time.sleep(0.2)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=20)
        return done.stdout


@pytest.fixture
def panes() -> Iterator[Panes]:
    made = Panes(f"meshd-{os.getpid()}")
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Path]:
    """A working folder with a path as long as the slot's, for the banner."""
    folder = Path(tempfile.mkdtemp(prefix="ma-"))
    (folder / "work").mkdir()
    yield folder / "work"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.clis("claude")
def test_the_attached_screen_equals_the_clis_own(agent: Any, own: Path, panes: Panes) -> None:
    daemon = agent.daemon
    daemon.wait_for("claude", "idle", 60)
    settings = daemon.get("/slots/claude", SlotDetail).settings
    meshd = f"{sys.executable} -m meshd_core.cli attach claude"
    slot_folder = Path(settings.cwd)
    env = claude_home(own.parent / "home", own, agent.backend.url) | ENVIRONMENT
    env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    panes.open("a", meshd, slot_folder, {"MESHD_RUNTIME_DIR": str(daemon.runtime)}, slot_folder)
    panes.open("b", shlex.join([*settings.command, *settings.args]), own, env, own)
    panes.both_show("? for shortcuts")
    panes.become_equal()
    panes.keys("first words", "Enter")
    panes.both_show("You said: first words")
    panes.become_equal()
    panes.paste("pasted 1\npasted 2")
    panes.both_show("pasted 2")
    panes.become_equal()
    panes.keys("Enter")
    panes.both_show("You said: pasted 1")
    panes.become_equal()
    panes.resize(24, 80)
    panes.keys("half")
    panes.both_show("half")
    panes.become_equal()
    assert daemon.get("/slots/claude", SlotDetail).size == Size(rows=24, cols=80)
    panes.to("a", "C-]")
    deadline = time.monotonic() + 20
    while "detached from claude" not in panes.shown("a"):
        assert time.monotonic() < deadline, panes.shown("a")
        time.sleep(0.1)
    panes.respawn("a", f"exec env MESHD_RUNTIME_DIR={daemon.runtime} {meshd}")
    panes.both_show("half")
    panes.become_equal()
    panes.keys("C-c")
    panes.keys("after all", "Enter")
    panes.both_show("You said: after all")
    panes.become_equal()
