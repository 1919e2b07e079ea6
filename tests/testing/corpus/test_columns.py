"""The report's numbers: a known failure is left out of the number that it is about, and of no other."""

from pathlib import Path

from meshd_core.testing.corpus.columns import COLUMNS
from meshd_core.testing.corpus.floors import Known
from meshd_core.testing.corpus.recordings import Recording
from meshd_core.testing.corpus.replay import Emitted, Moment, Replay
from meshd_core.testing.corpus.report import page
from meshd_core.testing.corpus.results import Result
from meshd_core.testing.corpus.score import score
from meshd_core.testing.corpus.truth import StateSpan, Truth


def _result(scenario: str, told: str) -> Result:
    truth = Truth(
        cli="demo", version="1", scenario=scenario, columns=80, rows=24, recorded_at="", prompts=(), lines=("alpha",),
        channel=(), ends=10.0, states=(StateSpan(0.0, ("idle",)),),
    )  # fmt: skip
    scored = score(truth, Replay((Moment(0.0, "busy"),), (Emitted(1.0, told),), (1.0,)))
    return Result(Recording(f"demo-1/{scenario}", Path(), truth), scored, scored, None, (scored.lines,) * 2)


def test_a_known_failure_is_left_out_of_the_number_that_it_is_about_alone() -> None:
    found = [_result("good", "alpha"), _result("bad", "beta")]
    known = {"demo-1/bad": Known("made up", recall=0.0)}
    cells = {column.name: (column.cell(found), column.without_known(found, known)) for column in COLUMNS}
    assert cells["recall"] == ("0.500", "1.000")
    assert cells["right"] == ("0.000", "0.000")
    assert cells["precise"] == ("0.500", "0.500")
    assert cells["replies whole"] == cells["new version"] == cells["limited said"] == ("-", "-")
    assert cells["fewer patterns"] == ("0.500 / 0.500, 0.500 / 0.500", "1.000 / 1.000, 1.000 / 1.000")


def test_the_page_tells_both_numbers_and_what_is_known() -> None:
    found = [_result("good", "alpha"), _result("bad", "beta")]
    text = page(found, {"demo-1/bad": Known("made up", recall=0.0)})
    assert "| demo 1 | all 2 |" in text
    assert "| demo 1 | without known failures (1) |" in text
    assert "| bad | recall | made up |" in text
    assert "without known failures (" not in page(found, {})
