"""A dialog's options as the screen shows them: an answer goes by an exact label that stands there once."""

import pytest

from meshd_core.contracts.kinds import KindProfile, Observation, Rule
from meshd_core.slots.activity import ActivityTracker
from meshd_core.types import DialogOption

ASK = Rule(
    "ask", "waiting", r"^(Proceed\?)", override=True, dialog="approval",
    options=(DialogOption("accept", "Yes"), DialogOption("deny", "No"), DialogOption("deny", "No, stop")),
    option_pattern=r"^(?P<default>❯)? *(?P<key>\d)\. (?P<label>[^\n]+)$",
)  # fmt: skip
PROFILE = KindProfile(name="x", title="X", commands=("x",), install_hint="", rules=(ASK,))
SCREEN = "1. Yes\nProceed?\n❯ 1. {}\n  2. {}\n  3. {}\n"


@pytest.fixture
def tracker() -> ActivityTracker:
    return ActivityTracker(PROFILE, lambda: None)


def options(tracker: ActivityTracker, screen: str) -> list[tuple[str, str, bool]]:
    tracker.look(screen, "")
    assert tracker.dialog is not None
    return [(option.id, option.label, option.default) for option in tracker.dialog.options]


def test_labels_come_in_their_order_with_the_marked_one(tracker: ActivityTracker) -> None:
    assert options(tracker, SCREEN.format("Yes, always", "Yes", "No, stop")) == [
        ("option1", "Yes, always", True), ("accept", "Yes", False), ("deny", "No, stop", False),
    ]  # fmt: skip
    assert tracker.option_keys["accept"] == "2"


@pytest.mark.parametrize("labels", [("Allow", "Always", "No"), ("Yes", "Yes", "No"), ("yes", "Yes.", "No")])
def test_what_is_not_there_once_with_its_exact_label_is_not_offered(
    tracker: ActivityTracker, labels: tuple[str, str, str]
) -> None:
    assert [id for id, _, _ in options(tracker, SCREEN.format(*labels))] == ["option1", "option2", "deny"]
    assert "accept" not in tracker.option_keys


def test_another_option_marked_is_the_same_dialog_and_other_labels_are_another(tracker: ActivityTracker) -> None:
    screen = SCREEN.format("Yes", "Always", "No")
    assert options(tracker, screen)[0][2]
    assert tracker.dialog is not None
    first = tracker.dialog.id
    moved = screen.replace("❯ 1", "  1").replace("  2", "❯ 2")
    assert [default for _, _, default in options(tracker, moved)] == [False, True, False]
    assert tracker.dialog.id == first
    options(tracker, SCREEN.format("Yes", "Never", "No"))
    assert tracker.dialog.id != first


def test_the_words_of_the_screen_stand_before_those_of_the_agents_own_channel(tracker: ActivityTracker) -> None:
    tracker.look(SCREEN.format("Yes", "Always", "No"), "")
    assert tracker.dialog is not None
    shown = tracker.dialog
    tracker.observe(
        Observation(source="api", rule="api", state="waiting", question="Allow Bash?", command="ls", matched="x")
    )
    assert tracker.dialog is not None
    assert (tracker.dialog.id, tracker.dialog.question, tracker.dialog.command) == (shown.id, "Proceed?", "ls")


def test_a_pattern_without_a_label_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        Rule("r", "waiting", "x", option_pattern=r"\d\. .*")


@pytest.mark.parametrize("pattern", [r"\A[\s\S]*? esc back$", r"\A[\s\S]*?(?:^(?P<options>Menu)$[\s\S]*?)? esc back$"])
def test_a_menu_whose_list_begins_nowhere_offers_no_row_of_the_conversation(pattern: str) -> None:
    rule = Rule("menu", "waiting", pattern, override=True, dialog="menu")
    tracker = ActivityTracker(KindProfile(name="x", title="X", commands=("x",), install_hint="", rules=(rule,)), list)
    assert options(tracker, "❯ fix\n  one\n  two\n\n esc back") == []


@pytest.mark.parametrize(
    ("pattern", "begins"), [(r"(?P<options>^Pick)\n", "Pick"), (r"^(Which\?)\n\n(?P<options>Pick)\n", "Which?")]
)
def test_the_evidence_of_a_dialog_is_no_conversation_above_it(pattern: str, begins: str) -> None:
    rule = Rule("menu", "waiting", rf"\A[\s\S]*?{pattern}", override=True, dialog="menu")
    tracker = ActivityTracker(KindProfile(name="x", title="X", commands=("x",), install_hint="", rules=(rule,)), list)
    tracker.look("said before\n" * 30 + "Which?\n\nPick\n❯ one\n  two\n", "")
    assert tracker.dialog is not None
    assert tracker.dialog.evidence[0].matched.startswith(begins)
