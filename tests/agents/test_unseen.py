"""A version that nothing was measured with: what is said of it is right or `unknown`, and its receipts are honest.

What is right comes from the fake model and from texts on the screen (`SCRIPTS` of the corpus), not from the kind's
rules. `AGENTS=codex-0.120.0` and this file run any other version.
"""

import base64
import json
import time
from typing import Any

import pytest

from meshd_core.testing.corpus.scripts import SCRIPTS
from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import Receipt, SlotDetail
from tests.agents.facts import Truth, Watch, exchange, wait_shown

pytestmark = [pytest.mark.agents, pytest.mark.unseen, pytest.mark.slow, pytest.mark.timeout(300)]

PROMPT, COMMAND = "SLOW3 of another version", "touch of-another-version"


def keys(agent: Any, data: str) -> None:
    agent.daemon.call("POST", f"/keys/{agent.name}", {"bytes_b64": base64.b64encode(data.encode()).decode()})


def by_hand(agent: Any, text: str) -> None:
    keys(agent, f"\x1b[200~{text}\x1b[201~")
    time.sleep(1)
    keys(agent, "\r")


def fault(receipt: Receipt, arrived: int) -> str | None:
    """What is not true of a receipt whose prompt reached the model `arrived` times."""
    allowed = {
        "completed": (1,), "submitted": (1,), "entered": (0, 1), "unknown": (0, 1), "failed": (0,), "accepted": (0,),
        "cancelled": (0, 1),  # and typed by hand
    }.get(receipt.stage)  # fmt: skip
    if allowed is None or arrived not in allowed or (receipt.stage == "entered" and not receipt.capped):
        return f"{receipt.stage}, and the model got it {arrived} times"
    return None if receipt.stage not in ("unknown", "failed") or receipt.error else f"{receipt.stage} without a reason"


def test_what_is_said_is_right_or_unknown_and_a_prompt_is_delivered_once_or_not_at_all(agent: Any) -> None:
    script = SCRIPTS[agent.name]
    assert script.question is not None
    with Watch(agent) as watch:
        ready = wait_shown(agent, script.ready, 90, still_s=max(2.0, script.ready_after_s))
        time.sleep(3)
        truths = [Truth(ready, time.time(), ("idle",))]

        receipt = agent.daemon.inject(agent.name, PROMPT, timeout_s=60)
        told = [_honest(agent, receipt.id, PROMPT)]
        if receipt.stage == "accepted":
            agent.daemon.call("DELETE", f"/injects/{receipt.id}")
            by_hand(agent, PROMPT)
            _arrived(agent, PROMPT)
            time.sleep(4)
        elif receipt.stage == "completed":
            assert "SLOW-END." in (receipt.reply or ""), receipt
        time.sleep(3)
        request, answer = exchange(agent, PROMPT)
        assert answer.last_byte is not None
        truths.append(Truth(request.t, answer.last_byte, ("busy",)))
        truths.append(Truth(answer.last_byte, time.time(), ("idle",)))

        told.append(_bang(agent))
        receipt = agent.daemon.inject(agent.name, f"TOOL {COMMAND}", until="submitted", timeout_s=40)
        if receipt.stage == "accepted":
            told.append(_honest(agent, receipt.id, f"TOOL {COMMAND}"))
            agent.daemon.call("DELETE", f"/injects/{receipt.id}")
            by_hand(agent, f"TOOL {COMMAND}")
        asked = wait_shown(agent, [script.question], 40)
        time.sleep(2)
        slot = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
        truths.append(Truth(asked, time.time(), ("waiting",)))
        if slot.dialog is not None:
            assert slot.dialog.command in (None, COMMAND), slot.dialog
            answered = {"dialog_id": slot.dialog.id, "choice": "deny"}
            agent.daemon.call("POST", f"/answer/{agent.name}", answered)
        else:
            keys(agent, script.deny)
        denied = time.time()
        time.sleep(5)
        truths.append(Truth(denied + 1, time.time(), ("idle",)))
    told.append(_honest(agent, receipt.id, f"TOOL {COMMAND}"))
    assert not (agent.cwd / COMMAND.split()[1]).exists()
    states = [one.state for one in watch.said]
    changes = [state for state, before in zip(states, [None, *states], strict=False) if state != before]
    print(json.dumps({"agent": agent.name, "version": agent.version, "receipts": told, "states": changes,
                      "seen": slot.agent_version, "dialog": slot.dialog and slot.dialog.command}))  # fmt: skip
    assert not (wrong := watch.wrong(truths)), wrong


def _honest(agent: Any, receipt_id: str, prompt: str) -> str:
    """The stage of a prompt that was given time to arrive; what holds one back must be told."""
    receipt = agent.daemon.get(f"/injects/{receipt_id}", Receipt)
    assert not (wrong := fault(receipt, agent.backend.prompts().count(prompt))), (wrong, receipt)
    if receipt.stage != "accepted":
        return receipt.stage if receipt.error is None else f"{receipt.stage}: {receipt.error.code}"
    slot = agent.daemon.get(f"/slots/{agent.name}?explain=1", SlotDetail)
    assert slot.explain is not None and slot.explain.queue.blocked_by, slot
    return f"accepted: {', '.join(slot.explain.queue.blocked_by)}"


def _bang(agent: Any) -> str:
    """A shell command is text for the model, or refused, or held back."""
    text = "!touch canary"
    try:
        receipt = agent.daemon.inject(agent.name, text, timeout_s=15)
    except HttpFailure as failure:
        return failure.code
    told = _honest(agent, receipt.id, text)
    assert not (agent.cwd / "canary").exists()
    if receipt.stage == "accepted":
        agent.daemon.call("DELETE", f"/injects/{receipt.id}")
    return told


def _arrived(agent: Any, prompt: str) -> None:
    deadline = time.monotonic() + 20
    while prompt not in agent.backend.prompts():
        assert time.monotonic() < deadline, agent.backend.prompts()
        time.sleep(0.1)
