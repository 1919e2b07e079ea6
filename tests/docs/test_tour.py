"""The README's tour works as written: each command is run in a shell on a terminal, and what it prints is compared.

A block is run if `<!-- tour -->` stands before it; `<!-- tour: daemon -->` marks `make run`, for which `meshd demo` is
started here. `...` stands for anything; times, ids, ages, process ids, ports and node names may differ.
"""

import contextlib
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import Struct

README = Path(__file__).parents[2] / "README.md"
COMMAND_TIMEOUT_S = 40.0
START_TIMEOUT_S = 30.0
_BLOCK = re.compile(r"^<!-- tour(: daemon)? -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}@[a-z0-9._-]+"), "<receipt>"),
    (re.compile(r"\b[0-9a-z]{8,9}-\d+\b"), "<id>"),
    (re.compile(r"\bpid \d+"), "<pid>"),
    (re.compile(r"(127\.0\.0\.1|\[::1\]):\d+"), "<address>"),
    (re.compile(r"(?<= )(\d+[smhd] ?)+(?=$| )"), "<age> "),
    (re.compile(r"[ \t]+"), " "),
)


class Step(Struct, frozen=True):
    command: str
    expected: str


class Block(Struct, frozen=True):
    is_daemon: bool
    steps: list[Step]


def blocks(text: str) -> list[Block]:
    """The blocks of the tour, each split into commands (`$ `) and what they print."""
    found = []
    for marker, body in _BLOCK.findall(text):
        steps = []
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            steps.append(Step(command, expected))
        found.append(Block(bool(marker), steps))
    return found


def masked(text: str) -> str:
    """`text` without what differs from run to run, and without blank lines."""
    lines = [line.rpartition("\r\x1b[K")[2] for line in text.replace("\r\n", "\n").split("\n")]
    text = "\n".join(line.rstrip() for line in lines if line.strip())
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    return text


def matches(expected: str, actual: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in masked(expected).split("..."))
    return re.fullmatch(pattern, masked(actual), re.DOTALL) is not None


class Shell:
    """A bash whose commands print to a terminal and read nothing."""

    def __init__(
        self, cwd: Path, env: dict[str, str], words: Sequence[str] = ("bash", "--noprofile", "--norc")
    ) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        termios.tcsetwinsize(slave, (40, 200))
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=slave, stderr=slave, cwd=cwd, env=env)
        os.close(slave)
        self._count = 0

    def run(self, command: str) -> str:
        """What `command` prints; state of the shell (variables) lasts."""
        self._count += 1
        mark = f"---- {self._count} done ----"
        assert self._process.stdin is not None
        script = f"{{ {command}\n}} </dev/null\nprintf '\\n%s' '{mark}'\n"
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        printed = ""
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        while mark not in printed:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._master], [], [], max(0.0, left_s))
            assert ready, f"{command!r} takes too long; it printed {printed!r}"
            printed += os.read(self._master, 65536).decode("utf-8", "replace")
        return printed.partition(f"\n{mark}")[0]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)
        os.close(self._master)


class DemoDaemon:
    """`meshd demo` where the tour says `make run`; killed by the tour, started again, ended with its agents."""

    def __init__(self, cwd: Path, env: dict[str, str], port: int) -> None:
        self._cwd, self._env, self._port = cwd, env, port
        self._log = cwd / "first-shell.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it and wait until it is up and the agent can be typed to; what it printed."""
        if self._process is not None:
            self._process.wait(timeout=START_TIMEOUT_S)
        command = [sys.executable, "-m", "meshd_core.cli", "demo", "--port", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Ctrl-C here" not in (said := self._log.read_text()):
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said

    def close(self) -> None:
        """End daemon, keeper and agents, however far the tour came."""
        if self._process is None:
            return
        if self._process.poll() not in (None, 0):
            # It was killed and not started again: the next one takes the agents over, and ends them.
            with contextlib.suppress(AssertionError):
                self.start()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)


@pytest.fixture
def environment(short_tmp: Path) -> dict[str, str]:
    """Commands of this Python first on PATH, nothing of the caller's meshd, no agents but the demo."""
    (short_tmp / ".venv" / "bin").mkdir(parents=True)
    (short_tmp / ".venv" / "bin" / "activate").write_text("# the test's PATH has it already\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MESHD_")}
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{env.get('PATH', os.defpath)}"
    return {**env, "PATH": path, "MESHD_PLUGINS": "demo", "TERM": "xterm"}


@pytest.fixture
def shell(short_tmp: Path, environment: dict[str, str]) -> Iterator[Shell]:
    found = Shell(short_tmp, environment)
    yield found
    found.close()


@pytest.fixture
def daemon(short_tmp: Path, environment: dict[str, str]) -> Iterator[DemoDaemon]:
    found = DemoDaemon(short_tmp, environment, _free_port())
    yield found
    found.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour uses curl")
def test_the_tour_of_the_readme_works_as_written(shell: Shell, daemon: DemoDaemon, environment: dict[str, str]) -> None:
    found = blocks(README.read_text())
    assert [block.is_daemon for block in found].count(True) == 2
    assert sum(len(block.steps) for block in found) > 20
    for number, block in enumerate(found):
        for step in block.steps:
            if block.is_daemon:
                assert step.command == "make run"
                printed = daemon.start()
            else:
                printed = shell.run(step.command)
            assert matches(step.expected, printed), f"{step.command}\n-- expected\n{step.expected}\n-- got\n{printed}"
        if number == 0:  # a person takes longer to open another shell than the agent to start
            shell.run("meshd wait demo --runtime-dir .meshd/run")


def test_a_comparison_sees_a_word_that_differs() -> None:
    assert matches("demo  running  4s  0", "demo running 12s 0\r\n")
    assert matches("a\n...\nd", "a\nb\nc\nd")
    assert not matches("demo  running", "demo  stopped")
    assert not matches("accepted > written", "\r\x1b[Kaccepted\r\x1b[Kaccepted > failed")
