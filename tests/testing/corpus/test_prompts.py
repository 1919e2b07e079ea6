"""What became of prompts to live agents: counted, kept, and told on the report's page."""

from pathlib import Path

import msgspec
import pytest

from meshd_core.testing.corpus.floors import times
from meshd_core.testing.corpus.prompts import PromptScore, read_prompts, write_prompts
from meshd_core.testing.corpus.report import page
from tests.agents.tally import outcome

SCORE = PromptScore("demo", "1", "2026-11-28T03:00:00Z", 10, 6, 1, 1, 1, 1, 1, 7, 6, times([0.1, 0.2, 0.9]))


def test_each_prompt_becomes_one_thing() -> None:
    for refused, got, expected in (
        (False, ["hi"], "once"),
        (False, [], "lost"),
        (False, ["hi", "hi"], "doubled"),
        (False, ["hi!"], "changed"),
        (True, [], "refused"),
        (True, ["hi"], "changed"),
    ):
        assert outcome(refused=refused, got=got, want="hi") == expected


def test_what_was_kept_is_read_and_told(tmp_path: Path) -> None:
    path = write_prompts(SCORE, tmp_path)
    assert read_prompts(tmp_path) == [SCORE]
    text = page([], {}, [SCORE, msgspec.structs.replace(SCORE, version="2", note="its log is short")])
    assert "| demo 1 | 10 | 6 | 1 | 1 | 1 | 1 | 1 | 6 of 7 | 0.20 / 0.90 / 0.90 (3) |" in text
    assert "- demo 2: its log is short" in text
    assert "- demo 1:" not in text
    assert "## Prompts" not in page([], {})
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"prompts\.json"):
        read_prompts(tmp_path)
