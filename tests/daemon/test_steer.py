"""Prompts with `when: "steer"` into a real agent at work: each receipt comes to its own end."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import Receipt

PLUGIN = """
import msgspec
from meshd_core.api import AgentKind, SubmitRecipe, hookimpl
from meshd_core.testing.demo_kind import PROFILE

class Boxed(AgentKind):
    profile = msgspec.structs.replace(
        PROFILE, name="boxed",
        submit=SubmitRecipe(
            paste="bracketed", settle_s=3.0, confirm_s=2.0, clear="\\x15", sees_drafts=True,
            input_box=r"^(?:demo>|\\S working [\\d.]+s(?: \\(\\d+ queued\\))?(?: >)?)([^\\n]*)\\Z",
        ),
    )

class Settling(AgentKind):
    profile = msgspec.structs.replace(PROFILE, name="settling", first_idle_s=1.5)

@hookimpl
def meshd_agent_kinds(ctx):
    return [Boxed(), Settling()]
"""


@pytest.fixture
def daemon(tmp_path: Path, make_daemon: Any, demo_slot: str) -> DaemonProcess:
    """`demo` doesn't show its input box; `boxed` is the same agent, and does."""
    info = tmp_path / "site" / "boxed-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "boxed.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boxed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nboxed = boxed\n")
    slots = demo_slot + '\n[[slots]]\nname = "boxed"\nkind = "boxed"\n'
    slots += '[[slots]]\nname = "settling"\nkind = "settling"\n'
    made: DaemonProcess = make_daemon(slots, {"PYTHONPATH": str(info.parent)})
    for name in ("demo", "boxed"):
        made.wait_for(name, "idle")
    return made


def at(receipt: Receipt, stage: str) -> datetime:
    return datetime.fromisoformat(receipt.stages[stage])


def test_a_prompt_that_the_agent_took_while_it_worked_and_the_turn_before_each_end(
    daemon: DaemonProcess, eventually: Any
) -> None:
    first = daemon.inject("boxed", "slow 3", until="submitted")
    second = daemon.inject("boxed", "slow 2", until="submitted", when="steer")
    assert (second.stage, "echoed" in second.stages, second.capped) == ("submitted", True, False)
    eventually(lambda: daemon.get(f"/injects/{second.id}", Receipt).stage == "completed")
    first, second = (daemon.get(f"/injects/{one.id}", Receipt) for one in (first, second))
    assert (first.stage, first.reply) == ("completed", "slow: done after 3 s")
    assert at(second, "submitted") < at(first, "completed")
    # Not with the end of the first: the agent went on with it.
    assert (at(second, "completed") - at(first, "completed")).total_seconds() > 1
    assert second.reply is not None
    assert second.reply.endswith("slow: done after 2 s")


def test_the_end_of_the_turn_before_is_no_proof_that_a_prompt_was_taken(daemon: DaemonProcess, eventually: Any) -> None:
    first = daemon.inject("demo", "slow 1", until="submitted")
    second = daemon.inject("demo", "slow 3", until="completed", when="steer")
    assert (second.stage, second.capped, second.error) == ("entered", True, None)
    eventually(lambda: daemon.get(f"/injects/{first.id}", Receipt).stage == "completed")
    assert daemon.get(f"/injects/{first.id}", Receipt).reply == "slow: done after 1 s"
    assert daemon.get(f"/injects/{second.id}", Receipt).stage == "entered"


def test_an_interrupt_ends_both_if_the_agent_is_not_seen_idle_between(daemon: DaemonProcess, eventually: Any) -> None:
    first = daemon.inject("boxed", "slow 30", until="submitted")
    second = daemon.inject("boxed", "slow 2", until="submitted", when="steer")
    daemon.call("POST", "/interrupt/boxed", {})
    for one in (first, second):
        eventually(lambda one=one: daemon.get(f"/injects/{one.id}", Receipt).stage == "failed")
        receipt = daemon.get(f"/injects/{one.id}", Receipt)
        assert receipt.error is not None
        assert receipt.error.code == "interrupted"


def test_the_first_prompt_of_a_run_waits_until_the_agent_has_been_idle_for_long_enough(daemon: DaemonProcess) -> None:
    daemon.call("POST", "/restart/settling", {})
    since = daemon.wait_for("settling", "idle").activity.since
    first = daemon.inject("settling", "one")
    assert (at(first, "writing") - datetime.fromisoformat(since)).total_seconds() >= 1.4
    assert daemon.inject("settling", "two").stage == "completed"


def test_the_end_of_an_agent_fails_both(daemon: DaemonProcess) -> None:
    first = daemon.inject("boxed", "slow 30", until="submitted")
    second = daemon.inject("boxed", "slow 2", until="submitted", when="steer")
    daemon.call("POST", "/stop/boxed", {"grace_s": 1})
    for one in (first, second):
        receipt = daemon.get(f"/injects/{one.id}", Receipt)
        assert receipt.stage == "failed"
        assert receipt.error is not None
        assert receipt.error.code == "agent_exited"
