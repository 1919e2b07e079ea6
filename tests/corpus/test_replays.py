"""Every recording of a real agent is replayed: no version may fall below the floors, and what is known to fail can only
get better. `make agents-report` writes the page that tells of it.
"""

from itertools import groupby
from pathlib import Path

import pytest

from meshd_core.testing.corpus.floors import read_known, shortfalls, summary
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
def test_floors(found: dict[str, list[Result]], name: str) -> None:
    held = [one for one in found[name] if one.recording.name not in KNOWN]
    each = {one.recording.truth.scenario: shortfalls(summary([one.score])) for one in held}
    short = shortfalls(summary([one.score for one in held]))
    assert not short, f"{name}: {short}; by scenario: { {key: value for key, value in each.items() if value} }"


@pytest.mark.parametrize("name", SETS)
def test_a_version_without_data_is_never_judged_wrong(found: dict[str, list[Result]], name: str) -> None:
    for one in found[name]:
        states = one.unknown_version
        wrong = 1 - (states.right + states.unknown) / states.judged if states.judged else 0.0
        known = KNOWN.get(one.recording.name)
        allowed = 0.01 if known is None or known.accuracy is None else 1 - known.accuracy + _ROUNDING
        assert wrong <= allowed, f"{one.recording.name}: {wrong:.3f} of the time wrong"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_known_to_fail_is_as_it_was(found: dict[str, list[Result]], name: str) -> None:
    one = next((one for one in found.get(name.partition("/")[0], []) if one.recording.name == name), None)
    assert one is not None, f"there is no recording {name}: take it off known.toml"
    now, before = shortfalls(summary([one.score])), KNOWN[name].values()
    assert now == pytest.approx(before, abs=_ROUNDING), (
        f"{name}: known.toml has {before}, now {now}; better: write it there; worse: mend it"
    )


def test_the_page_is_up_to_date(found: dict[str, list[Result]]) -> None:
    text = page([one for group in found.values() for one in group], KNOWN)
    assert PAGE.read_text() == text, "stale: run 'make agents-report'"
