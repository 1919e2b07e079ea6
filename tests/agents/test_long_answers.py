"""An answer that is longer than the screen, row by row: agents may draw its end alone, or over the rows before it."""

import time
from typing import Any

import pytest

from tests.agents.driving import idle

pytestmark = pytest.mark.agents

ROWS = 150


def test_every_row_of_a_long_answer_is_told_once(agent: Any) -> None:
    idle(agent)
    receipt = agent.daemon.inject(agent.name, f"LONG{ROWS}")
    assert receipt.stage == "completed", receipt
    deadline = time.monotonic() + 20
    while "LONG-END." not in "".join(told := agent.daemon.lines(agent.name)):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    paragraphs = [line.strip("•⏺✦● ") for line in told if "of a long answer" in line]
    assert paragraphs == [f"paragraph {n} of a long answer" for n in range(1, ROWS + 1)]
