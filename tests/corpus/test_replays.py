"""Every recording of a real agent is replayed: no version may fall below the floors, and what is known to fail can only
get better. `make agents-report` writes the page that tells of it.
"""

from itertools import groupby
from pathlib import Path

import pytest

from meshd_core.testing.corpus.floors import read_known, shortfalls, summary
from meshd_core.testing.corpus.prompts import read_prompts
from meshd_core.testing.corpus.report import page
from meshd_core.testing.corpus.results import Result, results
from meshd_core.testing.corpus.subjects import installed_kinds

CORPUS = Path(__file__).parent
PAGE = CORPUS.parents[1] / "docs/agents.md"
SETS = sorted(path.name for path in CORPUS.iterdir() if list(path.glob("*.truth.json")))
KNOWN = read_known(CORPUS)
_ROUNDING = 0.0015


@pytest.fixture(scope="module")
def found() -> dict[str, list[Result]]:
    everything = results(CORPUS, installed_kinds())
    return {name: list(group) for name, group in groupby(everything, lambda one: one.recording.set_name)}


@pytest.mark.parametrize("name", SETS)
def test_each_recording_misses_no_floor_but_those_that_are_known(found: dict[str, list[Result]], name: str) -> None:
    differs = []
    for one in found[name]:
        known = KNOWN[one.recording.name].values() if one.recording.name in KNOWN else {}
        now = shortfalls(summary([one.score]))
        if now != pytest.approx(known, abs=_ROUNDING):
            differs.append(f"{one.recording.name}: known.toml has {known}, now {now}")
    assert not differs, "\n".join(["better: write it there; worse: mend it", *differs])


@pytest.mark.parametrize("name", SETS)
def test_a_version_without_data_is_never_judged_wrong(found: dict[str, list[Result]], name: str) -> None:
    for one in found[name]:
        recording = one.recording.name
        states = one.score.states if one.unknown_version is None else one.unknown_version  # None: by the same rules
        share = states.running
        wrong = 1 - (share.right + share.unknown) / share.judged if share.judged else 0.0
        known = KNOWN.get(recording)
        allowed = 0.01 if known is None or known.accuracy is None else 1 - known.accuracy + _ROUNDING
        assert wrong <= allowed, f"{recording}: {wrong:.3f} of the time wrong"


def test_all_that_is_known_is_there(found: dict[str, list[Result]]) -> None:
    gone = KNOWN.keys() - {one.recording.name for group in found.values() for one in group}
    assert not gone, "there is no such recording: take it off known.toml"


def test_the_page_is_up_to_date(found: dict[str, list[Result]]) -> None:
    text = page([one for group in found.values() for one in group], KNOWN, read_prompts(CORPUS))
    assert PAGE.read_text() == text, "stale: run 'make agents-report'"
