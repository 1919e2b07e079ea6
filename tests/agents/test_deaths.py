"""A daemon dies while it pastes 300 lines into a real agent: nothing comes twice or is glued, receipts are true.

What the fake model received is the truth.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from meshd_core.types import Receipt
from tests.agents.driving import finished, idle

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.slow]

LINES = [f"row {row} of a paste in which a daemon dies, as wide as the rows of a log may be; äöü" for row in range(299)]
"""More than a terminal takes that nobody reads (some 18 KB)."""


def test_a_daemon_that_dies_in_the_middle_of_a_paste_leaves_nothing_of_it_to_the_next(agent: Any) -> None:
    """The agent is held, so that its terminal takes only the beginning, and goes on when the daemon is dead."""
    idle(agent)
    assert agent.daemon.inject(agent.name, "before the death").stage == "completed"  # codex works a moment at its start
    pid = idle(agent).pid
    assert pid is not None
    before = len(agent.backend.prompts())
    signal_session(pid, signal.SIGSTOP)
    try:
        receipt = agent.daemon.inject(agent.name, "\n".join(["cut in two", *LINES]), until="accepted")
        deadline = time.monotonic() + 20
        while stage(agent, receipt.id) != "writing":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        assert stage(agent, receipt.id) == "writing"
        agent.daemon.kill()
    finally:
        signal_session(pid, signal.SIGCONT)
    time.sleep(1)  # it draws what it has got
    agent.daemon.start()
    assert finished(agent, receipt.id).stage == "unknown"
    after = agent.daemon.inject(agent.name, "on its own, after a death in a paste")
    assert (after.stage, after.changes) == ("completed", ("draft_cleared",)), after
    assert agent.backend.prompts()[before:] == ["on its own, after a death in a paste"]


def signal_session(leader: int, number: int) -> None:
    """To the agent and its children, which may have process groups of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(path.read_text().rpartition(")")[2].split()[3])
        except OSError:
            continue
        if session == leader:
            os.kill(int(path.parent.name), number)


DEATHS_S = (0.0, 0.03, 0.1, 0.3, 0.8)
"""After the prompt was taken: while it is typed, before its Enter, and before there is proof of work. No more of them:
OpenCode complains on its screen once it was listened to ten times."""


def test_a_paste_whose_daemon_dies_reaches_the_model_once_at_most_and_its_receipt_is_true(agent: Any) -> None:
    for number, death_s in enumerate(DEATHS_S):
        idle(agent)
        before = len(agent.backend.prompts())
        prompt = "\n".join([f"paste {number} of those whose daemon dies", *LINES])
        receipt = agent.daemon.inject(agent.name, prompt, until="accepted")
        time.sleep(death_s)
        agent.daemon.kill()
        agent.daemon.start()
        done = finished(agent, receipt.id)
        after = agent.daemon.inject(agent.name, f"on its own, after death {number}")
        assert after.stage == "completed", after
        *first, last = agent.backend.prompts()[before:]
        print(f"{agent.name}: dead {death_s:g} s after it was accepted: {list(done.stages)}, {len(first)} at the model")
        assert last == f"on its own, after death {number}"
        assert first in ([], [prompt])
        assert done.stage in ("completed", "unknown"), done
        if done.stage == "completed":
            assert (first, done.reply) == ([prompt], f"You said: {prompt[:200]}")


def stage(agent: Any, receipt_id: str) -> str:
    receipt: Receipt = agent.daemon.get(f"/injects/{receipt_id}", Receipt)
    return receipt.stage
