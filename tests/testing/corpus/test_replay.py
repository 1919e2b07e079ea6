"""The demo agent is recorded and replayed: what is seen then is right, and each time the same."""

import json
from pathlib import Path

import pytest

from meshd_core.testing.corpus.__main__ import main
from meshd_core.testing.corpus.driver import Subject
from meshd_core.testing.corpus.floors import read_known, shortfalls, summary
from meshd_core.testing.corpus.recorder import record, save
from meshd_core.testing.corpus.replay import replay
from meshd_core.testing.corpus.scenarios import SCENARIOS
from meshd_core.testing.corpus.score import score
from meshd_core.testing.demo_kind import PROFILE

NAMES = ("tool-approved", "slow-answer", "exit")


@pytest.fixture(scope="module")
def corpus(demo: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for scenario in SCENARIOS:
        if scenario.name in NAMES:
            save(*record(demo, scenario), folder)
    return folder


def test_what_is_seen_is_right(demo: Subject) -> None:
    cast, truth = record(demo, next(scenario for scenario in SCENARIOS if scenario.name == "tool-approved"))
    seen = replay(cast, truth, PROFILE, "0.1.0")
    assert seen == replay(cast, truth, PROFILE, "0.1.0")
    scored = score(truth, seen)
    # Its window title is no line of a transcript, and its kind has no rules for lines.
    assert [failure for failure in scored.failures if failure.what in ("state", "flicker", "line missing")] == []
    assert [moment.state for moment in seen.timeline].count("waiting") >= 1
    assert scored.approvals.seen == scored.approvals.options == 1
    assert all(0 <= line.at <= truth.ends for line in seen.lines)
    blind = replay(cast, truth, PROFILE.__class__("none", "None", (), ""), "0.1.0")
    assert "accuracy" in shortfalls(summary([score(truth, blind)]))


def test_the_commands(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--corpus", str(corpus)]
    assert main(["replay", *at, "demo-0.1.0/slow"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("== demo-0.1.0/slow-answer\n")
    assert "truth  busy" in text
    assert "said   busy  signal:osc7501-working" in text
    assert main(["replay", *at, "--json", "demo-0.1.0/exit"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "demo-0.1.0/exit"
    assert main(["report", *at, "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == {f"demo-0.1.0/{name}" for name in NAMES}
    page = tmp_path / "page.md"
    assert main(["report", *at, "--output", str(page), "--check"]) == 1
    assert main(["report", *at, "--output", str(page)]) == 0
    assert main(["report", *at, "--output", str(page), "--check"]) == 0
    assert "| tool-approved |" in page.read_text()


def test_wrong_words_are_told(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["replai"]) == 2
    assert main(["--help"]) == 0
    assert "  report " in capsys.readouterr().out
    assert main(["replay", "--corpus", str(corpus), "claude"]) == 2
    assert "no recording claude" in capsys.readouterr().err
    for text in ('acuracy = 0.5\nreason = "?"', 'accuracy = 0.5\nreason = ""'):
        (corpus / "known.toml").write_text(f'["demo-0.1.0/exit"]\n{text}\n')
        with pytest.raises(ValueError, match=r"known\.toml"):
            read_known(corpus)
    assert main(["report", "--corpus", str(corpus)]) == 2
    (corpus / "known.toml").unlink()
