"""The recordings that are kept: readable, in order, complete pairs, of pinned versions, without traces of a machine."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from meshd_core.testing.cli_cache import read_pins
from meshd_core.testing.corpus.cast import CAST_SUFFIX, read_cast
from meshd_core.testing.corpus.landmarks import first, landmarks
from meshd_core.testing.corpus.on_screen import looks
from meshd_core.testing.corpus.scenarios import SCENARIOS
from meshd_core.testing.corpus.scripts import SCRIPTS
from meshd_core.testing.corpus.subjects import choose
from meshd_core.testing.corpus.truth import TRUTH_SUFFIX, read_truth

TESTS = Path(__file__).parents[2]
CORPUS = TESTS / "corpus"
AGENTS = [f"{cli}-{pin.version}" for cli, pin in choose(read_pins(TESTS / "agents/versions.toml"), [])]
WRITTEN_WITHIN_S = 0.7
"""As docs/agents.md says."""
MAX_BYTES = 15 * 1024 * 1024


@pytest.mark.parametrize("agent", AGENTS)
def test_every_scenario_of_a_version_is_there(agent: str) -> None:
    script = SCRIPTS[agent.rpartition("-")[0]]
    names = {scenario.name for scenario in SCENARIOS if scenario.possible(script)}
    for suffix in (CAST_SUFFIX, TRUTH_SUFFIX):
        assert {path.name.removesuffix(suffix) for path in (CORPUS / agent).glob(f"*{suffix}")} == names


@pytest.mark.parametrize("agent", AGENTS)
def test_recordings_are_sound(agent: str) -> None:
    for path in sorted((CORPUS / agent).glob(f"*{CAST_SUFFIX}")):
        cast, truth = read_cast(path), read_truth(path.with_name(path.name.removesuffix(CAST_SUFFIX) + TRUTH_SUFFIX))
        assert f"{truth.cli}-{truth.version}/{truth.scenario}" == f"{agent}/{path.name.removesuffix(CAST_SUFFIX)}"
        assert (cast.header.width, cast.header.height) == (truth.columns, truth.rows)
        assert all(a.at <= b.at for a, b in pairwise(cast.events)), path
        assert all(a.since < b.since and a.states != b.states for a, b in pairwise(truth.states)), path
        assert cast.events[-1].at <= truth.ends + 0.001, path
        assert all(prompt.received for prompt in truth.prompts), path
        text = "".join(event.data for event in cast.events)
        assert not re.search(r"/root\b", text), path


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_writes_soon_that_it_was_interrupted_and_draws_its_box_before_it_is_ready(agent: str) -> None:
    cast = read_cast(CORPUS / agent / f"interrupt{CAST_SUFFIX}")
    found = landmarks(cast, agent.rpartition("-")[0], looks(cast))
    (key,) = found.interrupts
    assert first(found.stopped, key, key + WRITTEN_WITHIN_S) is not None, found
    (ready,) = (event.at for event in cast.events if event.data == "ready")
    assert first(found.box, 0, ready) is not None, found


def test_only_pinned_versions_are_there_and_all_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir() if list(path.glob(f"*{CAST_SUFFIX}"))} == set(AGENTS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MAX_BYTES
