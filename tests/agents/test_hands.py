"""A real agent is answered, interrupted, refused by its model, stopped and resumed, through the HTTP API."""

import re
from typing import Any

import pytest

from meshd_core.types import Receipt, SlotDetail
from tests.agents.driving import answer, asked, finished, idle, interrupt

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]


def test_an_interrupted_turn_ends_at_once_and_the_next_prompt_is_whole(agent: Any) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "SLOW30 to be interrupted", until="submitted")
    agent.daemon.wait_for(agent.name, "busy", 10)
    interrupt(agent)
    done = finished(agent, receipt.id, 15)
    assert (done.stage, done.error and done.error.code) == ("failed", "interrupted"), done
    after = agent.daemon.inject(agent.name, "and on it goes")
    assert (after.stage, after.reply) == ("completed", "You said: and on it goes")
    assert "and on it goes" in agent.backend.prompts()


def test_what_the_model_refuses_for_good_is_told_and_is_no_answer(agent: Any) -> None:
    idle(agent)
    status = 400 if agent.name == "claude" else 401  # claude tries a 401 again, for minutes
    receipt = agent.daemon.inject(agent.name, f"ERR{status}", timeout_s=40)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("completed", "turn_failed"), receipt
    assert receipt.error is not None
    assert str(status) in receipt.error.message
    assert str(status) in (receipt.reply or ""), receipt
    after = agent.daemon.inject(agent.name, f"an answer after {status}")
    assert (after.stage, after.error, after.reply) == ("completed", None, f"You said: an answer after {status}")
    idle(agent)


def test_a_turn_that_ends_for_want_of_a_login_is_over(agent: Any) -> None:
    """claude signals that it is blocked then, and has no question open: the next prompt is typed."""
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "ERR403", timeout_s=40)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("completed", "turn_failed"), receipt
    after = agent.daemon.inject(agent.name, "let in again")
    assert (after.stage, after.reply) == ("completed", "You said: let in again"), after


@pytest.mark.parametrize("status", [429, 500])
def test_a_request_that_is_tried_again_is_never_taken_for_an_idle_agent(agent: Any, status: int) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, f"ERR{status}", until="submitted")
    # Gemini CLI shows nothing of a 429 that it tries again; codex and opencode tell that one from others.
    told = "limited" if status == 429 and agent.name != "gemini" else "busy,limited"
    slot = agent.daemon.wait_for(agent.name, told, 20)
    assert slot.activity.state in told.split(","), slot
    assert agent.daemon.get(f"/injects/{receipt.id}", Receipt).stage == "submitted"
    interrupt(agent)
    assert finished(agent, receipt.id, 20).stage in ("failed", "completed")
    after = agent.daemon.inject(agent.name, f"well again after {status}")
    assert (after.stage, after.reply) == ("completed", f"You said: well again after {status}")


def test_a_command_that_it_does_not_know_is_not_glued_to_the_next_prompt(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "/unknown-to-all x", timeout_s=20)
    after = agent.daemon.inject(agent.name, "a prompt of its own")
    assert (after.stage, after.reply) == ("completed", "You said: a prompt of its own"), after


def test_stopping_is_polite_and_leaves_nothing_of_it_and_a_resume_remembers(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "remember the kiwi")
    pid = idle(agent).pid
    agent.daemon.call("POST", f"/stop/{agent.name}", {})
    slot = agent.daemon.wait_for(agent.name, "stopped", 20)
    assert (slot.status, slot.pid) == ("stopped", None)
    assert slot.exit is not None
    assert slot.exit.signal not in ("SIGTERM", "SIGKILL"), slot.exit  # it left by its own keys
    agent.daemon.call("POST", f"/start/{agent.name}", {"resume": True})
    assert idle(agent).pid != pid
    receipt = agent.daemon.inject(agent.name, "what was it?")
    assert (receipt.stage, receipt.reply) == ("completed", "You said: what was it?"), receipt
    asked_with = [r for r in agent.backend.received() if r.prompt == "what was it?" and r.tools]
    assert "remember the kiwi" in asked_with[-1].earlier
    assert agent.daemon.get(f"/slots/{agent.name}", SlotDetail).agent_version == agent.version


def test_an_option_for_all_times_is_taken_by_what_its_row_says(agent: Any) -> None:
    """The last test here: what is allowed for good is not asked for again."""
    receipt, slot = asked(agent, "touch allowed-for-good")
    assert slot.dialog is not None
    lasting = [one for one in slot.dialog.options if re.search("always|again|this session", one.label)]
    assert lasting, slot.dialog.options
    answer(agent, slot, lasting[0].id)
    done = finished(agent, receipt)
    assert (done.stage, (done.reply or "").startswith("tool finished: ")) == ("completed", True), done
    assert (agent.cwd / "allowed-for-good").exists()
    if agent.name != "claude":  # which offers for good only that the folder is worked in
        again = agent.daemon.inject(agent.name, "TOOL touch allowed-for-good")
        assert again.stage == "completed", again
