"""The quickstart works as written, on two machines: network namespaces, each with a home and a host name of its own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.docs.test_tour import Shell, Step, matches
from tests.mesh.network import missing, network

NAMES = ("mac1", "mac2")
START_TIMEOUT_S = 40.0
_BLOCK = re.compile(r"^<!-- quickstart(: daemon)? -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

reason = missing()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


class Machine:
    """A shell in a namespace, and a daemon beside it."""

    def __init__(self, root: Path, name: str, namespace: str, address: str) -> None:
        self.name, self.address = name, address
        self._inside = ["ip", "netns", "exec", namespace]
        self.home = root / name
        (self.home / "bin").mkdir(parents=True)
        scripts = sysconfig.get_path("scripts")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MESHD_", "XDG_"))},
            "HOME": str(self.home),
            "MESHD_RUNTIME_DIR": str(self.home / "run"),  # else both machines would share this one's
            "PATH": f"{self.home / 'bin'}:{scripts}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.shell = Shell(self.home, self.env, [*self._inside, "bash", "--noprofile", "--norc"])
        self.daemon: subprocess.Popen[bytes] | None = None

    def serve(self, command: str) -> None:
        """Start the daemon and wait until it answers."""
        env = {**self.env, "MESHD_CONFIG": str(self.home / "meshd.toml")}
        words = [*self._inside, *command.split()]
        with (self.home / "daemon.log").open("wb") as log:
            self.daemon = subprocess.Popen(
                words, env=env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while "admin token" not in (self.home / "daemon.log").read_text():
            assert self.daemon.poll() is None and time.monotonic() < deadline, (self.home / "daemon.log").read_text()
            time.sleep(0.05)

    def reached_by_ssh(self, other: "Machine") -> None:
        """`ssh NAME COMMAND` on the other machine runs the command here."""
        script = other.home / "bin" / "ssh"
        inside = " ".join(self._inside)
        script.write_text(f'#!/bin/sh\nshift\nHOME={self.home} MESHD_RUNTIME_DIR={self.home}/run exec {inside} "$@"\n')
        script.chmod(0o755)

    def end(self) -> None:
        if self.daemon is not None:
            if self.daemon.poll() is None:
                subprocess.run([*self._inside, "meshd", "down"], env=self.env, capture_output=True, timeout=60)
            self.daemon.kill()
            self.daemon.wait()
        self.shell.close()


@pytest.fixture
def machines() -> Iterator[dict[str, Machine]]:
    root = Path(tempfile.mkdtemp(prefix="m-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        net = stack.enter_context(network())
        found = {}
        for name in NAMES:
            found[name] = Machine(root, name, *net.namespace())
            stack.callback(found[name].end)
        found["mac2"].reached_by_ssh(found["mac1"])
        yield found


@pytest.mark.timeout(300)
def test_the_quickstart_works_as_written(machines: dict[str, Machine]) -> None:
    ran = 0
    for kind, body in _BLOCK.findall((ROOT / "docs" / "quickstart.md").read_text()):
        for name, step in _steps(body):
            machine = machines[name]
            command = step.command.replace("100.64.0.1", machines["mac1"].address)
            command = command.replace("100.64.0.2", machines["mac2"].address)
            if kind:
                machine.serve(command)
            else:
                printed = machine.shell.run(command)
                assert matches(step.expected, printed), f"{name}$ {command}\nprinted:\n{printed}"
            ran += 1
    assert ran > 15


def _steps(body: str) -> list[tuple[str, Step]]:
    """The commands of a block with the machine that runs each, and what they print."""
    found: list[tuple[str, str, list[str]]] = []
    for line in body.splitlines():
        name, is_command, command = line.partition("$ ")
        if is_command and name in NAMES:
            found.append((name, command, []))
        else:
            found[-1][2].append(line)
    return [(name, Step(command, "\n".join(expected))) for name, command, expected in found]
