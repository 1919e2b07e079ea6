"""A conversation goes on after a crash of its agent, of the daemon, and of both, if the slot's `resume` says so."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.plugin_files import install
from meshd_core.types import SlotDetail

PLUGIN = """
import asyncio, pathlib, shlex, uuid
from msgspec.structs import replace
from meshd_core.api import AgentKind, AgentSession, Launch, Observation, hookimpl
from meshd_core.testing.demo_kind import PROFILE

class Session(AgentSession):
    def __init__(self, run):
        self._talk = run.meta.get("talk")

    async def watch(self, report):
        await asyncio.sleep(0.3)
        self._talk = self._talk or uuid.uuid4().hex
        report(Observation(source="api", rule="talker", state="idle"))

    def resume_meta(self):
        return {} if self._talk is None else {"talk": self._talk}

class Talker(AgentKind):
    profile = replace(PROFILE, name="talker", output="lines")

    def launch(self, spec):
        if pathlib.Path(__file__).with_name("broken").exists():
            raise ValueError("not now")
        talk = next(spec.conversations("talk"), None)
        script = f"echo about {talk or 'nothing yet'}; exec {shlex.join(spec.command)}"
        return Launch(argv=("sh", "-c", script), meta={} if talk is None else {"talk": talk})

    def session(self, run):
        return Session(run)

@hookimpl
def meshd_agent_kinds(ctx):
    return [Talker()]
"""

FIRST = """
    def _first(self):
        # Only the first run of all is talked to.
        talked = pathlib.Path(__file__).with_name("talked")
        if talked.exists():
            return None
        talked.touch()
        return uuid.uuid4().hex

"""

CHANGES = """
    async def _changes(self, report):
        # A file says which conversation the agent is in.
        now = pathlib.Path(__file__).with_name("now")
        while True:
            if now.exists():
                self._talk = now.read_text() or self._talk
            report(Observation(source="api", rule="talker", state="idle"))
            await asyncio.sleep(0.1)

"""


def slot(resume: bool) -> str:
    return f'[[slots]]\nname = "one"\nkind = "talker"\nresume = {str(resume).lower()}\n'


def talks(daemon: DaemonProcess) -> list[str]:
    """What each run was about, as it said itself."""
    return [line.removeprefix("about ") for line in daemon.lines("one") if line.startswith("about ")]


def resumable(daemon: DaemonProcess) -> str | None:
    """What the conversation of the present run is called, on disk."""
    found: str | None = json.loads(next(daemon.state.rglob("run.json")).read_bytes())["resume"].get("talk")
    return found


def crash(daemon: DaemonProcess) -> None:
    os.kill(daemon.get("/slots/one", SlotDetail).pid or 0, signal.SIGKILL)


@pytest.fixture
def make(make_daemon: Any, short_tmp: Path) -> Any:
    return lambda resume: make_daemon(slot(resume), install(short_tmp, "talker", PLUGIN))


@pytest.fixture
def runs(eventually: Any) -> Any:
    """Wait until a slot has had so many runs, and what its conversation is called is on disk."""

    def wait(daemon: DaemonProcess, count: int) -> list[str]:
        eventually(lambda: len(talks(daemon)) == count, 20, lambda: (talks(daemon), daemon.log.read_text()[-2000:]))
        assert daemon.wait_for("one", "idle").activity.state == "idle"
        eventually(lambda: resumable(daemon) is not None)
        return talks(daemon)

    return wait


def test_a_restart_after_a_crash_goes_on_with_the_conversation_if_the_slot_says_so(make: Any, runs: Any) -> None:
    daemon = make(resume=True)
    assert runs(daemon, 1) == ["nothing yet"]
    crash(daemon)
    first = runs(daemon, 2)[1]
    assert first != "nothing yet"
    daemon.kill()
    daemon.start()
    crash(daemon)  # its next daemon has taken it over
    assert runs(daemon, 3)[2] == first
    pid = daemon.get("/slots/one", SlotDetail).pid
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    assert runs(daemon, 4)[3] == first


def test_a_restart_after_a_crash_begins_anew_by_default(make: Any, runs: Any) -> None:
    daemon = make(resume=False)
    runs(daemon, 1)
    crash(daemon)
    assert runs(daemon, 2) == ["nothing yet", "nothing yet"]


def test_a_conversation_that_was_found_out_is_known_after_the_death_of_both(make: Any, runs: Any) -> None:
    daemon = make(resume=False)
    runs(daemon, 1)
    pid = daemon.get("/slots/one", SlotDetail).pid
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    daemon.configure(slot(resume=True))
    daemon.start()
    assert runs(daemon, 2)[1] != "nothing yet"


def test_a_daemon_that_finds_no_agent_goes_on_with_its_last_conversation_if_the_slot_says_so(
    make: Any, runs: Any
) -> None:
    daemon = make(resume=True)
    runs(daemon, 1)
    daemon.shutdown()
    daemon.start()
    first = runs(daemon, 2)[1]
    assert first != "nothing yet"
    daemon.configure(slot(resume=False))
    daemon.shutdown()
    daemon.start()
    assert runs(daemon, 3)[2] == "nothing yet"
    daemon.call("POST", "/restart/one", {"resume": True})
    assert runs(daemon, 4)[3] not in ("nothing yet", first)


def test_a_resume_by_hand_goes_on_with_what_was_said_before_an_unasked_start(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    """The agents that were started anew, unasked, were never talked to."""
    once = PLUGIN.replace("or uuid.uuid4().hex", "or (uuid.uuid4().hex if Session.runs == 1 else None)")
    once = once.replace(
        "    def __init__(self, run):\n", "    runs = 0\n\n    def __init__(self, run):\n        Session.runs += 1\n"
    )
    daemon = make_daemon(slot(False), install(short_tmp, "talker", once))
    eventually(lambda: daemon.wait_for("one", "idle").activity.state == "idle")
    eventually(lambda: resumable(daemon) is not None)
    for count in (2, 3):
        crash(daemon)
        eventually(lambda count=count: talks(daemon) == ["nothing yet"] * count, 20)
    daemon.call("POST", "/restart/one", {"resume": True})
    eventually(lambda: len(talks(daemon)) == 4, 20)
    assert talks(daemon)[3] != "nothing yet"


def test_what_was_said_before_an_unasked_start_outlives_the_daemon(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    once = PLUGIN.replace("or uuid.uuid4().hex", "or self._first()")
    once = once.replace("    def resume_meta", FIRST + "    def resume_meta")
    daemon = make_daemon(slot(False), install(short_tmp, "talker", once))
    eventually(lambda: resumable(daemon) is not None)
    for count in (2, 3):
        crash(daemon)
        eventually(lambda count=count: talks(daemon) == ["nothing yet"] * count, 20)
    assert daemon.wait_for("one", "idle").activity.state == "idle"
    daemon.kill()
    daemon.start()  # takes the third agent over
    daemon.call("POST", "/restart/one", {"resume": True})
    eventually(lambda: len(talks(daemon)) == 4, 20)
    first = talks(daemon)[3]
    assert first != "nothing yet"
    daemon.shutdown()
    daemon.start()
    eventually(lambda: len(talks(daemon)) == 5, 20)
    daemon.call("POST", "/restart/one", {"resume": True})  # of one that was never talked to, either
    eventually(lambda: len(talks(daemon)) == 6, 20)
    assert talks(daemon)[4:] == ["nothing yet", first]


def test_an_agent_that_went_back_to_an_earlier_conversation_while_no_daemon_was_there_is_resumed_with_that(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    told = PLUGIN.replace("self._talk = run.meta.get", "self._talk = run.found_out.get('talk') or run.meta.get")
    told = told.replace("    def resume_meta", CHANGES + "    def resume_meta").replace("await asyncio.sleep(0.3)", "")
    told = told.replace("self._talk = self._talk or uuid.uuid4().hex", "await self._changes(report)")
    daemon = make_daemon(slot(False), install(short_tmp, "talker", told))
    now = next(short_tmp.rglob("talker.py")).with_name("now")
    now.write_text("a")
    eventually(lambda: resumable(daemon) == "a")
    daemon.call("POST", "/restart/one", {"resume": True})
    eventually(lambda: resumable(daemon) == "a" and len(talks(daemon)) == 2)
    now.write_text("b")
    eventually(lambda: resumable(daemon) == "b")
    daemon.kill()
    now.write_text("a")
    daemon.start()
    eventually(lambda: resumable(daemon) == "a")
    daemon.call("POST", "/restart/one", {"resume": True})
    eventually(lambda: len(talks(daemon)) == 3, 20)
    assert talks(daemon) == ["nothing yet", "a", "a"]


def test_a_start_that_fails_forgets_no_conversation(make: Any, runs: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make(resume=True)
    runs(daemon, 1)
    daemon.shutdown()
    broken = next(short_tmp.rglob("talker.py")).with_name("broken")
    broken.touch()
    daemon.start()
    eventually(lambda: daemon.get("/slots/one", SlotDetail).error is not None, 20)
    daemon.shutdown()
    broken.unlink()
    daemon.start()
    assert runs(daemon, 2)[1] != "nothing yet"
