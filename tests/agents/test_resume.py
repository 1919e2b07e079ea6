"""A conversation goes on after crashes of the agent and of the daemon: the model gets what was said before."""

import time
from typing import Any

import pytest

from meshd_core.types import Receipt, SlotDetail
from tests.agents.driving import finished, idle, idle_again, kill

pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(300),
    pytest.mark.clis("claude", "opencode", "codex", "gemini", "pi"),
]


def said(agent: Any, text: str) -> None:
    """Have `text` answered; turns of pi that are shorter can't be seen."""
    receipt: Receipt = agent.daemon.inject(agent.name, f"SLOW1 {text}")
    assert (receipt.stage, (receipt.reply or "").strip().endswith("SLOW-END.")) == ("completed", True), receipt


def earlier(agent: Any) -> list[str]:
    """What was said before, as the newest prompt's request has it."""
    newest = [one for one in agent.backend.received() if one.tools and one.tool_result is None][-1]
    return [prompt.removeprefix("SLOW1 ") for prompt in newest.earlier]


def crash(agent: Any) -> None:
    pid = agent.daemon.get(f"/slots/{agent.name}", SlotDetail).pid
    kill(pid)
    idle_again(agent, pid)


def test_a_conversation_goes_on_after_crashes_of_the_agent_and_of_the_daemon(agent: Any) -> None:
    pid = idle(agent).pid
    said(agent, "one: a plum")
    crash(agent)
    said(agent, "two: after a crash of the agent")
    assert earlier(agent) == ["one: a plum"]

    pid = idle(agent).pid
    agent.daemon.kill()
    agent.daemon.start()
    assert agent.daemon.get(f"/slots/{agent.name}", SlotDetail).pid == pid
    crash(agent)
    said(agent, "three: after one of the daemon, then one of the agent")
    assert earlier(agent) == ["one: a plum", "two: after a crash of the agent"]

    pid = idle(agent).pid
    assert pid is not None
    agent.daemon.kill()
    kill(pid)
    agent.daemon.start()
    idle_again(agent, pid)
    said(agent, "four: after one of both")
    assert [text.partition(":")[0] for text in earlier(agent)] == ["one", "two", "three"]


def test_a_turn_that_the_agent_died_in_has_failed_and_the_next_one_knows_those_before(agent: Any) -> None:
    idle(agent)
    said(agent, "a pear")
    receipt = agent.daemon.inject(agent.name, "SLOW30 and in the middle of it", until="submitted")
    deadline = time.monotonic() + 15
    while not any("SLOW30" in prompt for prompt in agent.backend.prompts()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    crash(agent)
    done = finished(agent, receipt.id)
    assert (done.stage, done.error and done.error.code) == ("failed", "agent_exited"), done
    said(agent, "after it")
    assert "a pear" in earlier(agent)
    assert sum("SLOW30" in prompt for prompt in agent.backend.prompts()) == 1  # nobody typed it again
