"""A real agent asks whether it may run a command: told at once and exactly, answered only by who answers that question.

What was done comes from the fake model (what the agent sent next), from the working folder, and from the agent's own
log or API.
"""

import time
from typing import Any

import pytest

from meshd_core.testing.corpus.scripts import SCRIPTS
from meshd_core.testing.daemon import HttpFailure
from meshd_core.testing.model_backend import Received
from meshd_core.types import MessagePage, Receipt, SlotDetail
from tests.agents.driving import answer, asked, finished, idle, question
from tests.agents.facts import Watch, exchange, wait_shown

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]

TOLD_WITHIN_S = 1.0
"""From its being drawn: on a busy machine an agent takes seconds to draw what the model said."""
WOULD_ACCEPT = {"claude": "1", "codex": "y", "gemini": "1", "opencode": "1"}
"""What would accept if it were typed into the dialog; opencode takes the Enter behind it."""


def results(agent: Any, prompt: str) -> list[Received]:
    """The requests with which the agent brought the model what became of the call that answered `prompt`."""
    call = exchange(agent, prompt)[0]
    return [one for one in agent.backend.received() if one.id > call.id and one.tool_result is not None]


def outcome(agent: Any, command: str, within_s: float = 10) -> str:
    """What the agent's own log or API says of the newest call of `command`, once it says more than that it was made."""
    deadline = time.monotonic() + within_s
    while True:
        page = agent.daemon.get(f"/messages/{agent.name}", MessagePage)
        assert page.source == ("api" if agent.name == "opencode" else "log"), page
        calls = [one.tool for one in page.messages if one.tool is not None and one.tool.command == command]
        if calls and calls[-1].outcome != "pending":
            return str(calls[-1].outcome)
        assert time.monotonic() < deadline, page
        time.sleep(0.1)


def refusal(agent: Any, path: str, body: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(HttpFailure) as failure:
        agent.daemon.call("POST", f"/{path}/{agent.name}", body)
    return failure.value.status, failure.value.code


def test_it_waits_with_the_exact_command_within_a_second_and_what_is_denied_is_not_run(agent: Any) -> None:
    idle(agent)
    with Watch(agent) as watch:
        receipt = agent.daemon.inject(agent.name, "TOOL touch never-approved", until="submitted").id
        shown = wait_shown(agent, [SCRIPTS[agent.name].question or ""], 40)
        slot = question(agent)
        time.sleep(0.3)
    waiting = next(one.at for one in watch.said if one.state == "waiting")
    call = exchange(agent, "TOOL touch never-approved")[1]
    assert call.last_byte is not None
    print(agent.version, f"{waiting - call.last_byte:.2f} s after the call, {waiting - shown:.2f} s after its drawing")
    assert waiting - shown < TOLD_WITHIN_S
    assert slot.dialog is not None
    assert (slot.dialog.kind, slot.dialog.command) == ("approval", "touch never-approved")
    assert slot.dialog.question
    assert {"accept", "deny"} <= {option.id for option in slot.dialog.options}
    assert agent.daemon.get(f"/injects/{receipt}", Receipt).stage == "submitted"
    answer(agent, slot, "deny")
    assert finished(agent, receipt).stage == "completed"
    idle(agent)
    assert outcome(agent, "touch never-approved") == "denied"
    after = agent.daemon.inject(agent.name, "and after the denial")
    assert (after.stage, after.reply) == ("completed", "You said: and after the denial")
    assert results(agent, "TOOL touch never-approved") == []  # the turn ended with it
    assert "TOOL touch never-approved" in exchange(agent, "and after the denial")[0].earlier
    assert not (agent.cwd / "never-approved").exists()


def test_what_is_accepted_is_run_and_the_turn_goes_on(agent: Any) -> None:
    receipt, slot = asked(agent, "touch approved")
    assert not (agent.cwd / "approved").exists()
    answer(agent, slot, "accept")
    done = finished(agent, receipt)
    assert (done.stage, (done.reply or "").startswith("tool finished: ")) == ("completed", True), done
    assert (agent.cwd / "approved").exists()
    assert len(results(agent, "TOOL touch approved")) == 1
    assert outcome(agent, "touch approved") == "done"


def test_an_answer_to_another_question_is_refused_also_if_its_words_are_the_same(agent: Any) -> None:
    receipt, first = asked(agent, "touch twice")
    answer(agent, first, "deny")
    finished(agent, receipt)
    receipt, second = asked(agent, "touch twice")
    assert first.dialog is not None and second.dialog is not None
    assert second.dialog.id != first.dialog.id
    for stale in (first.dialog.id, "d1-000000000000"):
        for choice in ("accept", "deny"):
            assert refusal(agent, "answer", {"dialog_id": stale, "choice": choice}) == (409, "dialog_changed")
    still = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    assert (still.activity.state, still.dialog and still.dialog.id) == ("waiting", second.dialog.id)
    assert not (agent.cwd / "twice").exists()
    answer(agent, second, "accept")
    assert finished(agent, receipt).stage == "completed"
    assert (agent.cwd / "twice").exists()
    answered = {"dialog_id": second.dialog.id, "choice": "accept"}
    assert refusal(agent, "answer", answered) == (409, "dialog_changed")


def test_a_prompt_that_is_queued_meanwhile_never_answers(agent: Any) -> None:
    receipt, slot = asked(agent, "touch not-by-a-prompt")
    text = WOULD_ACCEPT[agent.name]
    before = len(agent.backend.prompts())
    queued = agent.daemon.inject(agent.name, text, until="written", timeout_s=2)
    assert (queued.stage, queued.queue_position) == ("accepted", 0)
    for when in ("now", "steer"):
        assert refusal(agent, "inject", {"text": text, "when": when}) == (409, "slot_waiting")
    still = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    assert still.dialog is not None and slot.dialog is not None
    assert (still.activity.state, still.dialog.id) == ("waiting", slot.dialog.id)
    answer(agent, slot, "deny")
    done = finished(agent, queued.id)
    assert (done.stage, done.reply) == ("completed", f"You said: {text}")
    assert finished(agent, receipt).stage == "completed"
    assert agent.backend.prompts()[before:] == [text]
    assert not (agent.cwd / "not-by-a-prompt").exists()
