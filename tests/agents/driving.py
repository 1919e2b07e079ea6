"""What the tests of real agents do with a slot."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from meshd_core.types import AnswerResult, Receipt, Slot, SlotDetail


def idle(agent: Any, within_s: float = 60) -> SlotDetail:
    """The slot once it is idle."""
    slot: SlotDetail = agent.daemon.wait_for(agent.name, "idle", within_s)
    assert slot.activity.state == "idle", (slot, agent.daemon.log.read_text()[-3000:])
    return slot


def finished(agent: Any, receipt_id: str, within_s: float = 60) -> Receipt:
    """The receipt once it has come to its end."""
    deadline = time.monotonic() + within_s
    while True:
        receipt: Receipt = agent.daemon.get(f"/injects/{receipt_id}", Receipt)
        if receipt.stage in ("completed", "failed", "unknown"):
            return receipt
        assert time.monotonic() < deadline, receipt
        time.sleep(0.1)


def asked(agent: Any, command: str) -> tuple[str, SlotDetail]:
    """Make the agent ask whether it may run `command`: the receipt, and the slot once it says what is asked."""
    idle(agent)
    receipt = agent.daemon.inject(agent.name, f"TOOL {command}", until="submitted")
    return receipt.id, question(agent)


def question(agent: Any) -> SlotDetail:
    """The slot once it waits and says what for: the command and the options."""
    slot: SlotDetail = agent.daemon.wait_for(agent.name, "waiting", 40)
    deadline = time.monotonic() + 10
    while slot.dialog is None or slot.dialog.command is None or not slot.dialog.options:
        assert time.monotonic() < deadline, slot
        time.sleep(0.05)
        slot = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    return slot


def answer(agent: Any, slot: SlotDetail, choice: str) -> None:
    """Answer the dialog; again if it is still open: agents tell of one before they draw it and listen to its keys."""
    for _ in range(3):
        assert slot.dialog is not None
        body = {"dialog_id": slot.dialog.id, "choice": choice}
        result = msgspec.json.decode(agent.daemon.call("POST", f"/answer/{agent.name}", body), type=AnswerResult)
        if result.closed:
            return
        slot = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
    raise AssertionError(slot)


def interrupt(agent: Any) -> None:
    """Interrupt the turn; again if the agent works on: one that has only begun may not listen yet."""
    for _ in range(3):
        slot = msgspec.json.decode(agent.daemon.call("POST", f"/interrupt/{agent.name}", {}), type=Slot)
        if slot.activity.state not in ("busy", "limited", "waiting"):
            return
    raise AssertionError(slot)


def kill(pid: int) -> None:
    """Kill a process and all that it has started, at once: an agent's own program may be a child of npm's script."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    for one in found:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def idle_again(agent: Any, before: int, within_s: float = 90) -> SlotDetail:
    """The slot once another process than `before` is idle there."""
    deadline = time.monotonic() + within_s
    while True:
        slot: SlotDetail = agent.daemon.get(f"/slots/{agent.name}", SlotDetail)
        if slot.pid not in (None, before) and slot.activity.state == "idle":
            return slot
        assert time.monotonic() < deadline, slot
        time.sleep(0.1)
