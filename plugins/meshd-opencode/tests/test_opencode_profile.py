"""What of OpenCode's screens, as 1.18.33 draws them, stands in its input box."""

import pytest
from meshd_opencode.profile import PROFILE

from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.input_box import InputBox


def held(*rows: str, left: int = 2, beside: str = "") -> str | None:
    """What is read from a box of `rows`, its frame at column `left`; `beside` stands 116 columns to its right."""
    frame = " " * left + "┃"
    framed = [frame, *((frame + row).ljust(left + 117) + beside for row in rows), frame, f"{frame}  Build · a model"]
    screen = "\n".join(row.rstrip() for row in (*framed, " " * left + "╹" + "▀" * 75))
    return InputBox(lambda: PROFILE.submit, lambda: screen).text()


@pytest.mark.parametrize("left", [2, 62, 112])
@pytest.mark.parametrize("indent", [2, 8, 12, 40])
def test_an_indented_draft_is_one(left: int, indent: int) -> None:
    assert held(" " * indent + "half a line", left=left) == "halfaline"


def test_blanks_within_a_draft_are_the_persons_own() -> None:
    assert held("  name          value", "            more") == "namevaluemore"


@pytest.mark.parametrize("beside", ["", "Context", "$0.00 spent        0%"])
def test_what_a_wide_screen_shows_beside_the_box_is_no_draft(beside: str) -> None:
    assert held("", beside=beside) == ""
    assert held("  half a line", beside=beside) == "halfaline"
    assert held("  " + "半" * 20, beside=beside) == "半" * 20


def test_a_placeholder_is_no_draft() -> None:
    assert held('  Ask anything… "Fix a TODO in the codebase"') == ""
    assert held('  Ask anything... "Fix a TODO in the codebase"') == ""  # 1.18.22


MENU = """
  ┃  first

                                  Select model                                     esc

                                  Search

  ┃
  ┃  Build · Fake model Fake
  ╹▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀
   /x/work                                  ctrl+p commands
"""


@pytest.mark.parametrize(
    ("screen", "state"),
    [
        (MENU, "waiting"),
        (MENU.replace("Select model", "Help        ").replace("esc\n", "esc/enter\n"), "waiting"),
        # What a model says of keys: its rows begin further left, or other rows follow.
        (MENU.replace("                                  Select model", "     Select model"), "idle"),
        (MENU.replace("esc\n\n", "esc\n                                  Leave                    ctrl+c\n"), "idle"),
    ],
    ids=["models", "help", "a text", "a table"],
)
def test_a_menu_over_the_input_box_is_told_from_what_a_model_says(screen: str, state: str) -> None:
    tracker = ActivityTracker(PROFILE, lambda: None)
    tracker.look(screen, "")
    assert tracker.activity.state == state
