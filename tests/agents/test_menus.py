"""Menus that commands open: told as waiting with what they offer, chosen by moving to it, and never prompted into."""

import time
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import AnswerResult, Receipt, Slot, SlotDetail
from tests.agents.driving import idle

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.clis("codex", "gemini")]

MENUS = {
    "codex": ("/model", "/permissions", "/theme", "/review", "/resume", "/experimental", "/statusline"),
    "gemini": ("/model", "/theme", "/settings", "/editor", "/privacy", "/resume"),
}
LISTS = {"codex": ("/model", "/permissions", "/theme", "/review"), "gemini": ("/model", "/theme")}
"""Those whose list is one that can be told safely."""


def opened(agent: Any, command: str) -> SlotDetail:
    """The slot, once the command has opened its menu."""
    idle(agent)
    receipt = agent.daemon.inject(agent.name, command, timeout_s=30)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("failed", "menu_opened"), (command, receipt)
    slot: SlotDetail = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    assert (slot.activity.state, slot.dialog and slot.dialog.kind) == ("waiting", "menu"), (command, slot)
    return slot


def answer(agent: Any, slot: Slot, choice: str) -> AnswerResult:
    assert slot.dialog is not None
    body = {"dialog_id": slot.dialog.id, "choice": choice}
    return msgspec.json.decode(agent.daemon.call("POST", f"/answer/{agent.name}", body), type=AnswerResult)


def leave(agent: Any) -> None:
    """Deny whatever menu is open, and those behind it."""
    deadline = time.monotonic() + 20
    while (slot := agent.daemon.get(f"/slots/{agent.name}", SlotDetail)).activity.state != "idle":
        assert time.monotonic() < deadline, slot
        if slot.dialog is not None:
            answer(agent, slot, "deny")


@pytest.mark.slow
def test_each_menu_is_waiting_and_what_it_offers_is_its_list_or_nothing(agent: Any) -> None:
    idle(agent)
    before = agent.daemon.lines(agent.name)
    for command in MENUS[agent.name]:
        dialog = opened(agent, command).dialog
        assert dialog is not None
        marked = [one for one in dialog.options if one.default]
        if command in LISTS[agent.name]:
            assert (len(dialog.options) > 1, len(marked), bool(dialog.question)) == (True, 1, True), (command, dialog)
        else:
            assert dialog.options == (), (command, dialog)
        waiting: Receipt = agent.daemon.inject(agent.name, "not into a menu", until="written", timeout_s=1)
        assert waiting.stage == "accepted"
        agent.daemon.call("DELETE", f"/injects/{waiting.id}")
        leave(agent)
    said = [line.strip() for line in agent.daemon.lines(agent.name)[len(before) :] if line.strip()]
    assert [line for line in said if not line.startswith("> /")] == []  # the commands, and no row of their menus
    assert "not into a menu" not in agent.backend.prompts()
    receipt = agent.daemon.inject(agent.name, "after all menus")
    assert (receipt.stage, receipt.reply) == ("completed", "You said: after all menus")


def test_the_option_that_is_asked_for_is_the_one_that_is_taken(agent: Any) -> None:
    """The agent itself says so, when the menu is opened again: it marks what is set."""
    command = "/theme"
    slot = opened(agent, command)
    assert slot.dialog is not None
    labels = [one.label for one in slot.dialog.options]
    before = next(one for one in slot.dialog.options if one.default)
    wanted = next(one for one in slot.dialog.options if abs(labels.index(one.label) - labels.index(before.label)) == 2)
    assert answer(agent, slot, wanted.id).closed
    again = opened(agent, command)
    assert again.dialog is not None
    marked = next(one for one in again.dialog.options if one.default)
    assert marked.label.startswith(wanted.label), (wanted, again.dialog)
    leave(agent)


def test_an_answer_to_a_menu_that_is_another_by_now_is_refused(agent: Any) -> None:
    first = opened(agent, "/model")
    assert first.dialog is not None
    leave(agent)
    second = opened(agent, "/theme")
    assert second.dialog is not None
    for choice in ("option1", "deny"):
        with pytest.raises(HttpFailure) as refused:
            answer(agent, first, choice)
        assert refused.value.code == "dialog_changed"
    still = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    assert still.dialog is not None and still.dialog.id == second.dialog.id
    leave(agent)


@pytest.mark.clis("codex")
def test_a_pager_says_what_closes_it_and_is_closed_by_its_option(agent: Any) -> None:
    slot = opened(agent, "/diff")
    assert slot.dialog is not None and slot.dialog.advice is not None
    assert [one.id for one in slot.dialog.options] == ["close"]
    assert answer(agent, slot, "close").closed
    idle(agent)


@pytest.mark.clis("codex")
def test_a_command_that_begins_no_turn_is_not_completed_and_one_that_does_is(agent: Any) -> None:
    """codex signals work whenever it begins a new conversation."""
    idle(agent)
    agent.daemon.inject(agent.name, "something to compact")
    for command in ("/new", "/clear", "/new"):
        receipt = agent.daemon.inject(agent.name, command, timeout_s=30)
        assert (receipt.stage, receipt.capped, receipt.error) == ("entered", True, None), receipt
    agent.daemon.inject(agent.name, "once more")
    assert agent.daemon.inject(agent.name, "/compact", timeout_s=30).stage == "completed"
    receipt = agent.daemon.inject(agent.name, "after commands")
    assert (receipt.stage, receipt.reply) == ("completed", "You said: after commands")
