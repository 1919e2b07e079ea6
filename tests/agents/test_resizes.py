"""A terminal whose size is changed: nothing comes again, and the agent is seen and typed into as before."""

import time
from typing import Any

import msgspec
import pytest

from meshd_core.types import Size
from tests.agents.driving import idle

pytestmark = pytest.mark.agents

SIZES = (Size(30, 90), Size(50, 140), Size(24, 60), Size(40, 120))
SETTLED_S = 2.0
"""An agent draws everything anew within a second."""


@pytest.mark.clis("claude", "opencode", "codex", "gemini")
def test_sizes_repeat_no_line_and_leave_the_agent_usable(agent: Any) -> None:
    idle(agent)
    assert agent.daemon.inject(agent.name, "LONG45").stage == "completed"
    time.sleep(SETTLED_S)
    before = agent.daemon.lines(agent.name)
    for size in SIZES:
        agent.daemon.call("POST", f"/resize/{agent.name}", msgspec.to_builtins(size))
        time.sleep(SETTLED_S)
    receipt = agent.daemon.inject(agent.name, "and now?")
    assert (receipt.stage, receipt.reply) == ("completed", "You said: and now?"), receipt
    time.sleep(SETTLED_S)
    after = agent.daemon.lines(agent.name)[len(before) :]
    assert sum("and now?" in line for line in after) == 2, after
    assert [line for line in after if line.strip() and "and now?" not in line] == []
