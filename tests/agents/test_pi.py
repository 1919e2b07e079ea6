"""pi in a generic slot: a whole agent by configuration alone, plugins/meshd-generic/examples/pi.toml."""

import time
from typing import Any

import pytest

from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import Screen, SlotDetail
from tests.agents.driving import finished, idle, interrupt

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.clis("pi")]


def test_prompts_are_completed_with_their_replies_and_read_as_a_transcript(agent: Any) -> None:
    assert idle(agent).activity.evidence
    for text in ("SLOW1 first", "SLOW1 " + "\n".join(f"row {n}" for n in range(40))):
        receipt = agent.daemon.inject(agent.name, text)
        assert receipt.stage == "completed", receipt
        assert (receipt.reply or "").split() == [*(f"word{n}" for n in range(1, 11)), "SLOW-END."]
        assert text in agent.backend.prompts()
    lines = agent.daemon.lines(agent.name)
    assert sum("SLOW-END." in line for line in lines) == 2
    assert not [line for line in lines if "Working" in line or "─────" in line or "0.0%" in line], "\n".join(lines)


def test_a_turn_that_is_too_short_to_be_seen_is_completed_with_its_reply(agent: Any) -> None:
    idle(agent)
    for text in ("hello", "two rows\nof a prompt"):
        receipt = agent.daemon.inject(agent.name, text)
        assert (receipt.stage, receipt.error) == ("completed", None), receipt
        assert (receipt.reply or "").split() == f"You said: {text}".split()


def test_a_shell_command_is_refused_and_none_is_run(agent: Any) -> None:
    idle(agent)
    with pytest.raises(HttpFailure) as refused:
        agent.daemon.inject(agent.name, "  ! touch canary")
    assert refused.value.status == 422
    assert not (agent.cwd / "canary").exists()


def test_a_limit_is_told_and_an_interrupt_ends_the_turn(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "ERR429 now", until="submitted")
    limited = agent.daemon.wait_for(agent.name, "limited", 30).activity
    assert (limited.state, limited.until is not None) == ("limited", True)
    interrupt(agent)
    idle(agent)
    agent.daemon.inject(agent.name, "ERR500 now", until="submitted")
    deadline = time.monotonic() + 30
    while not any("Retrying (1/" in row for row in agent.daemon.get(f"/screen/{agent.name}", Screen).rows):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert agent.daemon.wait_for(agent.name, "limited", 1).activity.state == "busy", "no limit: a server's error"
    interrupt(agent)
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "SLOW30 never ends", until="submitted")
    agent.daemon.wait_for(agent.name, "busy", 10)
    interrupt(agent)
    done = finished(agent, receipt.id, 15)
    assert (done.stage, done.error and done.error.code) == ("failed", "interrupted"), done


def test_a_resume_goes_on_with_the_conversation(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "SLOW1 remember the kiwi")
    agent.daemon.call("POST", f"/restart/{agent.name}", {"resume": True})
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "SLOW1 which fruit was it")
    assert receipt.stage == "completed", receipt
    assert "SLOW1 remember the kiwi" in agent.backend.received()[-1].earlier
    agent.daemon.call("POST", f"/stop/{agent.name}", {})
    exit = agent.daemon.get(f"/slots/{agent.name}", SlotDetail).exit
    assert exit is not None and exit.code == 0
