"""What became of prompts to live agents, as it was last recorded: none lost, doubled, or confirmed falsely."""

from pathlib import Path

import pytest

from meshd_core.testing.cli_cache import read_pins
from meshd_core.testing.corpus.prompts import read_prompts

CORPUS = Path(__file__).parent
LIVE = ("claude", "codex", "gemini", "opencode")
SCORES = {f"{one.cli}-{one.version}": one for one in read_prompts(CORPUS)}


def test_each_agent_was_tried_at_the_version_that_its_plugin_was_measured_with() -> None:
    pins = read_pins(CORPUS.parent / "agents/versions.toml")
    assert {f"{cli}-{pins[cli].version}" for cli in LIVE} <= SCORES.keys()


@pytest.mark.parametrize("name", SCORES)
def test_each_prompt_was_delivered_once_or_refused_and_told_truly(name: str) -> None:
    one = SCORES[name]
    assert (one.changed, one.doubled, one.lost, one.falsely_confirmed) == (0, 0, 0, 0)
    assert one.once + one.refused == one.sent >= 100
    assert one.replies == one.once
    assert one.replies_right == one.replies or one.note
    assert one.completed.count >= 50
    assert one.completed.max is not None
    assert one.completed.max <= 1.0
