"""What a real agent's own log says of the conversation: prompts, answers, tools that were allowed and refused."""

import time
from typing import Any

import pytest

from meshd_core.types import Message, MessagePage, Screen
from tests.agents.driving import answer, asked, finished, idle

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]


def conversation(agent: Any, query: str = "") -> MessagePage:
    page: MessagePage = agent.daemon.get(f"/messages/{agent.name}{query}", MessagePage)
    assert page.source == ("api" if agent.name == "opencode" else "log"), page
    assert page.warning is None
    return page


def said(agent: Any, text: str, within_s: float = 15) -> list[Message]:
    """The messages once the newest is `text` from the agent: logs are written a moment later."""
    deadline = time.monotonic() + within_s
    while True:
        messages = conversation(agent).messages
        if messages and (messages[-1].role, messages[-1].text.strip()) == ("agent", text):
            return messages
        assert time.monotonic() < deadline, messages[-4:]
        time.sleep(0.1)


def press(agent: Any, *keys: str) -> None:
    agent.daemon.call("POST", f"/keys/{agent.name}", {"keys": list(keys)})


def enter_by_hand(agent: Any, text: str) -> None:
    press(agent, *("Space" if character == " " else character for character in text))
    time.sleep(1)
    press(agent, "Enter")


def test_messages_are_the_prompts_and_answers_in_their_order(agent: Any) -> None:
    idle(agent)
    first = agent.daemon.inject(agent.name, "the first of the messages")
    second = agent.daemon.inject(agent.name, "the second\nof the messages")
    messages = said(agent, "You said: the second\nof the messages")[-4:]
    assert [(one.role, one.text.strip()) for one in messages] == [
        ("user", "the first of the messages"),
        ("agent", "You said: the first of the messages"),
        ("user", "the second\nof the messages"),
        ("agent", "You said: the second\nof the messages"),
    ]
    assert [one.receipt for one in messages] == [first.id, None, second.id, None]
    assert messages[0].at is not None
    assert first.stages["entered"][:19] <= messages[0].at[:19] <= second.stages["completed"][:19]
    page = conversation(agent, "?limit=2")
    assert [one.id for one in page.messages] == [one.id for one in messages[2:]]
    assert page.before == messages[2].id
    assert [one.id for one in conversation(agent, f"?limit=2&before={page.before}").messages] == [
        one.id for one in messages[:2]
    ]


def test_messages_tell_what_became_of_a_tool_call(agent: Any) -> None:
    receipt, slot = asked(agent, "touch told-and-allowed")
    if agent.name != "gemini":  # which records a call once it has ended
        pending = conversation(agent).messages[-1]
        assert pending.tool is not None
        assert (pending.tool.command, pending.tool.outcome) == ("touch told-and-allowed", "pending")
    answer(agent, slot, "accept")
    finished(agent, receipt)
    receipt, slot = asked(agent, "touch told-and-refused")
    answer(agent, slot, "deny")
    finished(agent, receipt)
    idle(agent)
    deadline = time.monotonic() + 10
    while [one.tool.outcome for one in conversation(agent).messages if one.tool is not None][-2:] != ["done", "denied"]:
        assert time.monotonic() < deadline, conversation(agent)
        time.sleep(0.1)
    messages = [one for one in conversation(agent).messages if "told-and" in one.text or one.tool is not None]
    assert [(one.role, one.tool.command if one.tool else one.text) for one in messages][-4:] == [
        ("user", "TOOL touch told-and-allowed"),
        ("tool", "touch told-and-allowed"),
        ("user", "TOOL touch told-and-refused"),
        ("tool", "touch told-and-refused"),
    ]


def test_messages_have_what_a_person_typed_at_the_terminal(agent: Any) -> None:
    idle(agent)
    enter_by_hand(agent, "typed by hand")
    messages = said(agent, "You said: typed by hand")
    assert (messages[-2].role, messages[-2].text, messages[-2].receipt) == ("user", "typed by hand", None)


def test_messages_outlive_the_daemon(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "before the crash")
    before = said(agent, "You said: before the crash")
    agent.daemon.kill()
    agent.daemon.start()
    after = said(agent, "You said: before the crash")
    assert [(one.id, one.role, one.text) for one in after] == [(one.id, one.role, one.text) for one in before]


def test_messages_of_a_resumed_run_have_what_was_said_before(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "said before the resume")
    said(agent, "You said: said before the resume")
    agent.daemon.call("POST", f"/restart/{agent.name}", {"resume": True})
    idle(agent)
    assert [one.text for one in said(agent, "You said: said before the resume")][-2] == "said before the resume"
    after = agent.daemon.inject(agent.name, "said after the resume")
    assert after.stage == "completed", after
    texts = [one.text.strip() for one in said(agent, "You said: said after the resume") if one.tool is None]
    assert texts[-3:] == [
        "You said: said before the resume",
        "said after the resume",
        "You said: said after the resume",
    ]


def test_messages_after_a_clear_are_those_of_the_new_conversation(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "gone with the clear")
    enter_by_hand(agent, "/new" if agent.name == "opencode" else "/clear")
    time.sleep(2)
    idle(agent)
    deadline = time.monotonic() + 60
    agent.daemon.inject(agent.name, "a new conversation")
    while [one.text.strip() for one in conversation(agent).messages] != [
        "a new conversation",
        "You said: a new conversation",
    ]:
        assert time.monotonic() < deadline, conversation(agent)
        time.sleep(0.2)


@pytest.mark.clis("gemini")
def test_what_was_taken_up_by_hand_is_the_conversation_once_something_is_said_in_it(agent: Any) -> None:
    idle(agent)
    agent.daemon.inject(agent.name, "said before the other one")
    enter_by_hand(agent, "/clear")
    agent.daemon.inject(agent.name, "said in the other one")
    said(agent, "You said: said in the other one")
    enter_by_hand(agent, "/resume")
    shown(agent, "Chat Sessions")
    press(agent, "Down")  # to the one before this
    shown(agent, "❯ #2")
    press(agent, "Enter")
    shown(agent, "said before the other one")
    after = agent.daemon.inject(agent.name, "said in it again")
    assert (after.stage, after.reply) == ("completed", "You said: said in it again")
    texts = [one.text for one in said(agent, "You said: said in it again")]
    assert texts[-4:] == [
        "said before the other one",
        "You said: said before the other one",
        "said in it again",
        "You said: said in it again",
    ]
    agent.daemon.call("POST", f"/restart/{agent.name}", {"resume": True})
    idle(agent)
    assert said(agent, "You said: said in it again")[-4].text == "said before the other one"


def shown(agent: Any, text: str) -> None:
    """Wait for `text` on the screen."""
    deadline = time.monotonic() + 15
    while text not in "\n".join(agent.daemon.get(f"/screen/{agent.name}", Screen).rows):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
