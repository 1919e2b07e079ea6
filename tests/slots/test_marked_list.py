"""Menus as real agents draw them: which of their lists are understood, and that the others offer nothing."""

import pytest

from meshd_core.slots.marked_list import MarkedList, marked_list

CODEX_MODEL = """

  Select Model and Effort


› 1. GPT-6.2-Sol    Fast, go-to model for coding and everyday work.
  2. GPT-6.2-Astra  Our most capable model for complex coding and professional work.
  3. GPT-6.1 Terra  Efficient model that excels at visual understanding and computer use.
↓
  enter select · esc back"""
CODEX_PERMISSIONS = """• said before

  Update Model Permissions


  1. Ask for approval (current)  Read and edit workspace files and run commands, with approval required for
                                 internet access
› 2. Approve for me              Only ask for actions detected as potentially unsafe
  3. Full Access                 Use with caution: Codex can edit files outside this workspace
                                 without approval

  enter select · esc back"""
CODEX_THEME = """  Select Syntax Theme
  Move up/down to live preview themes

  Type to filter themes...                                     31  fn summarize() {
↑                                                              32 -    let active = users;
  nord                                                         32 +    let active = users;
› one-half-dark                                                33      let names = names();
  zenburn

  enter select · esc back"""
CODEX_THEME_FILTERED = """  Select Syntax Theme                                          31  fn summarize() {
  Move up/down to live preview themes                          32 -    let active = users;
                                                               32 +    let active = users;
  sol                                                          33      let names = names();
                                                               34 -    format!("{} active: {}", active, names.join(",
› solarized-dark                                               34 +    format!("{active} active users: {}", names.join
  solarized-light                                              35 +        .trim()
                                                               36  }
  enter select · esc back"""
CODEX_TITLE = """  Configure Terminal Title
  Select which items to display in the terminal title.

  Type to search

› [x] activity      Spinner while working, action-required message while blocked
  [ ] app-name      Codex app name
↓
  space toggle · ←/→ reorder · enter save · esc cancel"""
CODEX_KEYMAP = """  Type to search shortcuts

› Global         Focus Main Composer        leader c (ctrl-x c)
  Global         Focus Sidebar Tabs         leader t (ctrl-x t)
↓
  left/right group · enter edit shortcut · * custom · - unbound · esc close"""
GEMINI_MODEL = """ > /model manage
▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀

╭─────────────────────────────────────────────────────────────────────────────────────────╮
│                                                                                         │
│ Select Model                                                                            │
│                                                                                         │
│ ● 1. Auto                                                                               │
│      Let Gemini CLI decide the best model for the task: gemini-3.1-pro-preview          │
│   2. Manual                                                                             │
│      Manually select a model                                                            │
│                                                                                         │
│ Remember model for future sessions: false (Press Tab to toggle)                         │
│                                                                                         │
│ (Press Esc to close)                                                                    │
╰─────────────────────────────────────────────────────────────────────────────────────────╯"""
GEMINI_THEME = """╭─────────────────────────────────────────────────────────────────────────────────────────╮
│                                                                                         │
│ > Select Theme                       Preview                                            │
│ ▲                                    ┌────────────────────────────────────────────────┐ │
│    8. Holiday Dark                   │                                                │ │
│ ●  9. Shades Of Purple Dark          │ 1 # function                                   │ │
│   10. Solarized Dark                 │ 2 def fibonacci(n):                            │ │
│   11. ANSI Light (Incompatible)      └────────────────────────────────────────────────┘ │
│ ▼                                                                                       │
│                                                                                         │
│ (Use Enter to select, Tab to configure scope, Esc to close)                             │
╰─────────────────────────────────────────────────────────────────────────────────────────╯"""
GEMINI_EDITOR = """╭─────────────────────────────────────────────────────────────────────────────────────────╮
│ > Select Editor                      Editor Preference                                  │
│ ●  1. None                                                                              │
│    2. Vim                            Your preferred editor is: None.                    │
│                                                                                         │
│   Apply To                                                                              │
│ ● 1. User Settings                                                                      │
│   2. Workspace Settings                                                                 │
│                                                                                         │
│ (Use Enter to select, Tab to change focus, Esc to close)                                │
╰─────────────────────────────────────────────────────────────────────────────────────────╯"""
CLAUDE = """❯ /model
────────────────────────────────────────────────────────────────────────────────
 Select model
 Switch between Claude models. Applies to this session.

 ❯ 1. Default (recommended) ✔  Opus · Most capable
   2. Sonnet                   For everyday tasks
   3. Haiku                    Fastest

 Enter to confirm · Esc to exit"""


def read(screen: str) -> MarkedList | None:
    return marked_list(screen, 0, len(screen))


@pytest.mark.parametrize(
    ("screen", "question", "labels", "marked"),
    [
        (CODEX_MODEL, "Select Model and Effort", ("GPT-6.2-Sol", "GPT-6.2-Astra", "GPT-6.1 Terra"), 0),
        (
            CODEX_PERMISSIONS, "Update Model Permissions",
            ("Ask for approval (current)", "Approve for me", "Full Access"), 1,
        ),
        (CODEX_THEME, "Select Syntax Theme", ("nord", "one-half-dark", "zenburn"), 1),
        (GEMINI_MODEL, "Select Model", ("Auto", "Manual"), 0),
        (
            GEMINI_THEME, "Select Theme",
            ("Holiday Dark", "Shades Of Purple Dark", "Solarized Dark", "ANSI Light (Incompatible)"), 1,
        ),
        (CLAUDE, "Select model", ("Default (recommended) ✔", "Sonnet", "Haiku"), 0),
        ("Pick\n\n❯ Pressed flowers\n  Tabby\n\n  Press enter", "Pick", ("Pressed flowers", "Tabby"), 0),
        ("Pick\n\n❯ one\n  two\n", "Pick", ("one", "two"), 0),
        ("Pick\n\n  1. one\n\n❯ 2. two\n\n  3. three\n\n", "Pick", ("one", "two", "three"), 1),
    ],
)  # fmt: skip
def test_a_list_with_one_marked_row_is_read(screen: str, question: str, labels: tuple[str, ...], marked: int) -> None:
    assert read(screen) == MarkedList(question, labels, marked)


@pytest.mark.parametrize(
    "screen",
    [
        CODEX_TITLE,  # boxes to tick: Enter takes them all
        CODEX_KEYMAP,  # rows with the same words
        GEMINI_EDITOR,  # two lists, of which one has the cursor
        CODEX_THEME_FILTERED,  # what was typed stands where an option would
        "Pick\n  1. one\n  2. two\n",  # no mark
        "› 1. one\n",  # one row
        "Pick\n\n  2. two\n› 3. three\n\n",  # a beginning that isn't there
        "Pick\n\n  1. one\n› 3. three\n\n",  # a gap
        "Pick\n\n› 1. one\n  2. two\nand on\n\n",  # an end that isn't clear
        "Pick one\n› one\n  two\n\n",  # the title stands where an option would
        "Pick\n\n› Sonnet\n  Opus\n  Press enter to confirm\n",  # what tells of keys stands where an option would
        "Pick\n\n› Sonnet\n  Opus\n  (Use Enter to select)\n",
        "Pick\n\n  esc back\n  Sonnet\n› Opus\n",
        "Pick\n\n  Sonnet\n› Opus\n  ↑/↓ move\n",
        "  one\n› one\n",
        "› one\n› two\n",
        "",
    ],
)
def test_a_list_that_is_not_understood_whole_offers_nothing(screen: str) -> None:
    assert read(screen) is None


def test_rows_outside_of_the_dialog_are_no_marks_of_it() -> None:
    above = "› 1. a prompt of before\n\n• an answer\n\n"
    screen = above + CODEX_MODEL
    assert read(screen) is None
    found = marked_list(screen, len(above), len(screen))
    assert found is not None
    assert found.labels[0] == "GPT-6.2-Sol"


@pytest.mark.parametrize("row", ["› 1. " + "x" * 490, "  1. x", "› " * 200, "│ ● " * 100, "↑", ""])
def test_the_largest_screen_takes_little_time(row: str) -> None:
    assert read(f"{row}\n" * 500) is None
