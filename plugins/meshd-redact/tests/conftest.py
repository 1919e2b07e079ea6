"""A real daemon whose slots show, byte for byte, what a test writes."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshd_core.testing.daemon import DaemonProcess

SCREEN_KIND = """
from meshd_core.api import AgentKind, KindProfile, Rule, hookimpl

class Drawn(AgentKind):
    profile = KindProfile(
        name="drawn", title="drawn", commands=("sh",), install_hint="", output="screen", proves="written",
        rules=(Rule("drawn-waiting", "waiting", r"^approve (.*)$", dialog="approval", last_rows=40),),
    )

@hookimpl
def meshd_agent_kinds(ctx):
    return [Drawn()]
"""


class Shown:
    """A daemon with one slot `s`, redacted, whose program writes what it is given."""

    def __init__(self, folder: Path, kind: str, extra: str) -> None:
        self.pipe = folder / "pipe"
        self._writer: int | None = None
        os.mkfifo(self.pipe)
        site = folder / "site"
        info = site / "drawn_kind-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "drawn_kind.py").write_text(SCREEN_KIND)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drawn-kind\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[meshd_core.v1]\ndrawn-kind = drawn_kind\n")
        script = f'stty raw -echo; printf "ready\\r\\n"; exec cat {self.pipe}'
        slots = f'[[slots]]\nname = "s"\nkind = "{kind}"\nfilters = ["redact"]\nrows = 10\ncols = 40\n'
        slots += f"command = ['sh', '-c', '{script}']\n{extra}"
        self.daemon = DaemonProcess(folder, slots, {"PYTHONPATH": str(site)})

    def write(self, text: str) -> None:
        """Have the program write `text`."""
        # One writer for the whole test: what is written between two readers of a pipe is lost with the first one.
        if self._writer is None:
            self._writer = os.open(self.pipe, os.O_WRONLY)
        os.write(self._writer, text.encode())

    def close(self) -> None:
        """End the daemon and the program."""
        if self._writer is not None:
            os.close(self._writer)
        self.daemon.shutdown()

    def everything(self) -> str:
        """What every surface shows of the slot."""
        paths = ("/slots", "/slots/s?explain=1", "/screen/s", "/messages/s",
                 "/output/s?since=oldest&limit=1000", "/output/s?format=text")  # fmt: skip
        answers = [self.daemon.call("GET", path) for path in paths]
        return b"\n".join([*answers, self.daemon.log.read_bytes()]).decode()

    def settle(self, last: str) -> None:
        """Wait until the line `last` is there."""
        deadline = time.monotonic() + 20
        while last not in self.daemon.lines("s"):
            assert time.monotonic() < deadline, "\n".join(self.daemon.lines("s")) + self.daemon.log.read_text()[-1500:]
            time.sleep(0.03)


@pytest.fixture
def show(short_tmp: Path) -> Iterator[Callable[..., Shown]]:
    made: list[Shown] = []

    def make(kind: str = "demo", extra: str = "") -> Shown:
        one = Shown(short_tmp, kind, extra)
        made.append(one)
        one.daemon.start()
        one.settle("ready")
        return one

    yield make
    for one in made:
        one.close()
