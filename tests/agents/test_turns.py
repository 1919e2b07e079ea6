"""A real agent takes prompts through the HTTP API: its states, its replies, and what a reader of its output gets."""

import re
import time
from typing import Any

import pytest

from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import SlotDetail
from tests.agents.driving import finished, idle

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]

SPINNERS = re.compile("[✻✶✳✽✢⬝■◐◑⠂⠐]|esc (again to )?interrupt|esc to interrupt")
TEN = [f"Prompt number {n}: name the {n}th of the ten words" for n in range(1, 11)]


def test_it_comes_up_idle_with_evidence(agent: Any) -> None:
    slot = idle(agent)
    assert slot.status == "running"
    assert slot.activity.evidence
    assert slot.pid


def test_ten_prompts_are_each_completed_with_their_own_reply(agent: Any) -> None:
    idle(agent)
    for prompt in TEN:
        receipt = agent.daemon.inject(agent.name, prompt)
        assert (receipt.stage, receipt.reply) == ("completed", f"You said: {prompt}"), receipt
    assert [prompt for prompt in agent.backend.prompts() if prompt in TEN] == TEN


def test_the_output_reads_as_a_person_would_read_it(agent: Any) -> None:
    idle(agent)
    before = len(agent.daemon.lines(agent.name))
    said = [agent.daemon.inject(agent.name, f"{prompt}, again").reply for prompt in TEN]
    assert said == [f"You said: {prompt}, again" for prompt in TEN]
    deadline = time.monotonic() + 10
    while not any(line.endswith(f"You said: {TEN[-1]}, again") for line in agent.daemon.lines(agent.name)):
        assert time.monotonic() < deadline, "\n".join(agent.daemon.lines(agent.name))
        time.sleep(0.1)
    lines = agent.daemon.lines(agent.name)[before:]
    text = "\n".join(lines)
    for prompt in (f"{prompt}, again" for prompt in TEN):
        replies = [line for line in lines if re.search(rf"You said: {re.escape(prompt)}$", line)]
        assert len(replies) == 1, text
        assert sum(prompt in line for line in lines) <= 2, text  # its echo, and the reply
    assert not [line for line in lines if SPINNERS.search(line)], text


def test_it_is_busy_while_it_works_and_idle_afterwards(agent: Any) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "SLOW3", until="submitted")
    assert receipt.stage == "submitted"
    busy = agent.daemon.wait_for(agent.name, "busy", 10)
    assert busy.activity.state == "busy"
    done = finished(agent, receipt.id)
    assert done.stage == "completed"
    assert done.reply == "".join(f"word{n} " for n in range(1, 31)) + "SLOW-END."
    assert idle(agent).activity.evidence[0].source in ("title" if agent.name == "gemini" else "signal", "api")


def test_a_prompt_queued_while_it_works_is_typed_afterwards_and_once(agent: Any) -> None:
    idle(agent)
    first = agent.daemon.inject(agent.name, "SLOW2 before", until="submitted")
    second = agent.daemon.inject(agent.name, "and this one after")
    assert (second.stage, second.reply) == ("completed", "You said: and this one after")
    assert finished(agent, first.id).stages["completed"] <= second.stages["writing"]
    assert agent.backend.prompts().count("and this one after") == 1


def test_a_prompt_of_many_lines_arrives_whole(agent: Any) -> None:
    idle(agent)
    prompt = "\n".join(f"row {n} of a long prompt; äöü 日本 🎉" for n in range(300))
    receipt = agent.daemon.inject(agent.name, prompt)
    assert (receipt.stage, receipt.reply) == ("completed", f"You said: {prompt[:200]}")
    assert prompt in agent.backend.prompts()


def test_a_long_answer_is_whole_in_the_reply(agent: Any) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "LONG60")
    assert receipt.reply is not None
    assert [line for line in receipt.reply.split("\n") if line] == [
        *(f"paragraph {n} of a long answer" for n in range(1, 61)),
        "LONG-END.",
    ]


def test_markdown_comes_back_as_the_model_wrote_it(agent: Any) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, "MD")
    assert receipt.reply is not None
    assert receipt.reply.startswith("# A title\n\nSome **bold** text.\n\n```python\n")


@pytest.mark.parametrize("text", ["!touch forbidden", "look at @nothing"])
def test_a_prompt_that_the_input_box_would_interpret_is_taken_as_text(agent: Any, text: str) -> None:
    idle(agent)
    if agent.may_not_be_typed(text):  # it would run the command whatever stands before it
        with pytest.raises(HttpFailure):
            agent.daemon.inject(agent.name, text)
    else:
        receipt = agent.daemon.inject(agent.name, text)
        assert (receipt.stage, (receipt.reply or "").strip()) == ("completed", f"You said: {text}")
    assert not (agent.cwd / "forbidden").exists()


def test_a_turn_outlives_the_daemon_and_no_line_is_told_twice(agent: Any) -> None:
    idle(agent)
    pid = idle(agent).pid
    receipt = agent.daemon.inject(agent.name, "SLOW4 across a crash", until="submitted")
    agent.daemon.kill()
    agent.daemon.start()
    assert agent.daemon.get(f"/slots/{agent.name}", SlotDetail).pid == pid
    done = finished(agent, receipt.id)
    assert done.stage == "completed"
    assert done.reply is not None
    assert done.reply.endswith("word40 SLOW-END.")
    after = agent.daemon.inject(agent.name, "and one more after it")
    assert (after.stage, after.reply) == ("completed", "You said: and one more after it")
    deadline = time.monotonic() + 10
    while not any("You said: and one more" in line for line in agent.daemon.lines(agent.name)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    text = "\n".join(agent.daemon.lines(agent.name))
    assert text.count("across a crash") == 1, text
    assert text.count("word40 SLOW-END.") == 1, text
