"""The generic kind: options become a profile, and nothing is claimed that can't be seen."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from meshd_generic import GenericKind, GenericOptions

from meshd_core.api import LaunchSpec
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.input_box import InputBox

KIND = GenericKind()


def options(**values: object) -> GenericOptions:
    return msgspec.convert(values, GenericOptions)


def test_without_markers_it_proves_only_that_text_was_written() -> None:
    profile = KIND.profile_for(options())
    assert profile.proves == "written"
    assert profile.rules == ()
    assert profile == KIND.profile_for(None)


@pytest.mark.parametrize("half", [{"ready": "^>"}, {"busy": "working"}, {"title_busy": "x"}])
def test_one_end_of_a_turn_is_not_enough_to_prove_more(half: dict[str, str]) -> None:
    assert KIND.profile_for(options(**half)).proves == "written"


def test_ready_and_busy_markers_prove_completion() -> None:
    profile = KIND.profile_for(options(ready="^>", busy="working", waiting="sure", accept="y"))
    assert profile.proves == "completed"
    assert [(rule.state, rule.last_rows) for rule in profile.rules] == [("waiting", 5), ("busy", 5), ("idle", 5)]
    assert [option.id for option in profile.rules[0].options] == ["accept"]


def test_signals_prove_completion_without_markers() -> None:
    assert KIND.profile_for(options(signals=True)).proves == "completed"


def test_plain_typing_makes_newlines_spaces_and_pasting_keeps_them() -> None:
    assert KIND.profile_for(options()).sanitize.newlines == "space"
    assert KIND.profile_for(options(paste="bracketed")).sanitize.newlines == "keep"
    assert KIND.profile_for(options(newlines="keep")).sanitize.newlines == "keep"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"redy": "^> "}, "unknown field `redy`"),
        ({"ready": "("}, "ready: not a regular expression"),
        ({"ready": "^agent> "}, "ready: rows are searched without the blanks"),
        ({"drop": ["ok", "["]}, "drop: not a regular expression"),
        ({"input_box": "^> "}, "group 1"),
        ({"sees_drafts": True}, "sees_drafts: input_box"),
        ({"settle_s": -1}, "settle_s"),
        ({"output": "tape"}, "output"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        options(**wrong)


def test_a_pause_by_a_limit_is_told_before_work_is() -> None:
    profile = KIND.profile_for(options(busy="working", limited="retrying"))
    assert [rule.state for rule in profile.rules] == ["limited", "busy"]


def test_a_screen_for_a_person_overrules_all_others_and_says_what_to_do() -> None:
    tracker = ActivityTracker(KIND.profile_for(options(ready="^>", busy="working", onboarding="^Log in")), lambda: None)
    tracker.look("Log in first\n\n\n\n\n\n\n> ", "")
    assert tracker.activity.state == "onboarding"
    assert tracker.dialog is not None
    assert tracker.dialog.advice is not None
    assert "meshd attach" in tracker.dialog.advice
    tracker.look("> ", "")
    assert (tracker.activity.state, tracker.dialog) == ("idle", None)


def test_a_resume_adds_its_arguments() -> None:
    profile = KIND.profile_for(options(resume=["--continue"]))
    spec = LaunchSpec("s", "n", ("agent",), ("--fast",), "/", {}, resume=True, resume_args=profile.resume_args)
    assert KIND.launch(spec).argv == ("agent", "--fast", "--continue")


EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_whole_agent_in_some_forty_lines(example: Path) -> None:
    text = example.read_text()
    (slot,) = tomllib.loads(text)["slots"]
    profile = KIND.profile_for(options(**slot["options"]))
    assert profile.proves == "completed"
    assert {rule.state for rule in profile.rules} >= {"busy", "idle"}
    assert len(text.splitlines()) <= 45


def test_in_pis_example_a_row_that_looks_like_a_rule_does_not_hide_the_editor() -> None:
    example = tomllib.loads((Path(__file__).parents[1] / "examples/pi.toml").read_text())
    profile = KIND.profile_for(msgspec.convert(example["slots"][0]["options"], GenericOptions))
    rule = "─" * 120
    screen = f" said:\n{rule}\n\n{rule}\n half a line\n{rule}\n~/src\n 0.0%/200k"
    assert InputBox(lambda: profile.submit, lambda: screen).text() == "halfaline"
    live = list(re.finditer(profile.transcript.live[1], screen, re.MULTILINE))[-1]
    assert screen[live.start() :].startswith(f"{rule}\n half")
