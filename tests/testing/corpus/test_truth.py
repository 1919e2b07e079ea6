"""Truth files survive the disk, and say what was acceptable when."""

from pathlib import Path

from meshd_core.contracts.kinds import Observation
from meshd_core.testing.corpus.truth import (
    ChannelReport,
    PromptTruth,
    StateSpan,
    Truth,
    acceptable,
    read_truth,
    write_truth,
)

SPANS = (StateSpan(0.0, ()), StateSpan(1.5, ("idle",)), StateSpan(2.0, ("limited", "busy")))


def test_each_span_lasts_until_the_next() -> None:
    assert [acceptable(SPANS, at) for at in (0.0, 1.4, 1.5, 1.9, 2.0, 99.0)] == [
        (), (), ("idle",), ("idle",), ("limited", "busy"), ("limited", "busy"),
    ]  # fmt: skip
    assert acceptable((), 1.0) == ()


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    truth = Truth(
        cli="demo",
        version="0.1.0",
        scenario="one-line",
        columns=120,
        rows=40,
        recorded_at="2026-11-27T12:00:00Z",
        states=SPANS,
        prompts=(PromptTruth("hi", 1.6, ("hi",), 1.7, 1.8, 1.9, "You said: hi"),),
        lines=("You said: hi",),
        channel=(ChannelReport(1.75, Observation("api", "status", "busy")),),
        ends=3.0,
        exit=-9,
    )
    write_truth(truth, tmp_path / "a.truth.json")
    assert read_truth(tmp_path / "a.truth.json") == truth
