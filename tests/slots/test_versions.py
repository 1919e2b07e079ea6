"""A kind's data by the agent's version: what holds for it, and what does not where nobody measured."""

import pytest

from meshd_core.contracts.kinds import Keys, KindProfile, Rule, SanitizeRules, TranscriptRules, Variant
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.versions import covers, profile_for_version
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript import Transcript

PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="", keys=Keys(accept="y"),
    rules=(Rule("old", "busy", "loading", versions="<2"), Rule("any", "idle", "^> ")),
    variants=(
        Variant("<2", keys=Keys(accept="1", deny="n"), sanitize=SanitizeRules(leading_bang=True)),
        Variant("==1.5.*", keys=Keys(accept="1", deny="\x1b")),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("versions", "version", "is_in"),
    [
        ("<2", "1.9.9", True), ("<2", "2.0.0", False), (">=2,<3", "2.1.330", True), ("", "anything", True),
        ("<2", "no number", False), (">=0", "", False), (">=0.61", "v0.61.0-nightly.20261120.9f1c2ab", True),
        ("<0.61", "0.61.0-nightly.1", False), (">=1", "1" * 5000, False),
    ],
)  # fmt: skip
def test_versions_are_compared_by_their_release(versions: str, version: str, is_in: bool) -> None:
    assert covers(versions, version) is is_in


def test_each_part_comes_from_the_last_variant_that_covers_the_version() -> None:
    found = profile_for_version(PROFILE, "1.5.2")
    assert (found.keys.deny, found.sanitize.leading_bang) == ("\x1b", True)
    assert profile_for_version(PROFILE, "1.4").keys.deny == "n"


@pytest.mark.parametrize("version", [None, "2.0", "no number"])
def test_where_no_variant_holds_the_profiles_own_parts_count(version: str | None) -> None:
    assert profile_for_version(PROFILE, version) is PROFILE


@pytest.mark.parametrize(("version", "state"), [(None, "busy"), ("1.0", "busy"), ("3.0", "idle"), ("?", "idle")])
def test_a_rule_of_other_versions_is_not_used(version: str | None, state: str) -> None:
    tracker = ActivityTracker(PROFILE, lambda: None)
    tracker.set_profile(PROFILE, version)
    tracker.look("loading\n> ", "")
    assert tracker.activity.state == state


def test_ranges_that_are_none_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="2"):
        Rule("r", "busy", "x", versions="2")
    with pytest.raises(ValueError, match="new"):
        Variant("new")


def test_rows_are_judged_by_the_rules_of_the_version_once_it_is_known() -> None:
    now = 0.0
    transcript = Transcript(Emulator(10, 40), TranscriptRules(drop=("^tip",)), lambda: now)
    lines: list[str] = []
    for data in (b"tip one\r\nanswer\r\nhint one\r\n> ", b"\x1b[2J\x1b[Htip two\r\nhint two\r\n> "):
        lines += transcript.feed(data)
        for _ in range(3):
            now += 5.0
            lines += transcript.tick()
        transcript.set_rules(TranscriptRules(drop=("^hint",)))
    assert [line for line in lines if line and not line.startswith(">")] == ["answer", "hint one", "tip two"]
