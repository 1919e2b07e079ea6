"""A kind's session is told of its terminal's output, and one that fails at it is told no more."""

from pathlib import Path
from typing import Any

from meshd_core.types import SlotDetail

PLUGIN = """
import asyncio
from msgspec.structs import replace
from meshd_core.api import AgentKind, AgentSession, Observation, hookimpl
from meshd_core.testing.demo_kind import PROFILE

class Listening(AgentSession):
    def __init__(self):
        self._moved, self._version = asyncio.Event(), None
    def terminal_moved(self):
        self._moved.set()
    def version(self):
        return self._version
    async def watch(self, report):
        await self._moved.wait()
        self._version = "9.0"
        report(Observation("api", "moved", "idle"))

class Failing(AgentSession):
    def terminal_moved(self):
        raise ValueError("deaf")

class Kind(AgentKind):
    def __init__(self, name, session):
        self.profile, self._session = replace(PROFILE, name=name), session
    def session(self, run):
        return self._session()

@hookimpl
def meshd_agent_kinds(ctx):
    return [Kind("listening", Listening), Kind("failing", Failing)]
"""


def install(folder: Path) -> dict[str, str]:
    """Install the plugin below `folder`; the environment for a daemon that is to find it."""
    info = folder / "site" / "sessions-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "sessions.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sessions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nsessions = sessions\n")
    return {"PYTHONPATH": str(info.parent)}


def test_a_session_hears_of_its_terminals_output(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon('[[slots]]\nname = "a"\nkind = "listening"\n', install(short_tmp))
    eventually(lambda: daemon.get("/slots/a", SlotDetail).agent_version == "9.0")


def test_a_session_that_fails_at_hearing_is_blamed_once(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon('[[slots]]\nname = "a"\nkind = "failing"\n', install(short_tmp))
    daemon.wait_for("a", "idle")
    assert daemon.inject("a", "lines 50 0").stage == "completed"
    assert daemon.inject("a", "and more").reply == "echo: and more"
    assert daemon.log.read_text().count("hearing of output") == 1
