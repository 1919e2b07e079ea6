"""Gemini CLI's screens, as 0.61.0 draws them, and what the rules make of each."""

import re
import time

import pytest
from meshd_gemini.profile import PROFILE

from meshd_core.terminal.transcript_live import RowRules
from meshd_core.testing.dialogs import offered

RULE_LINE, TOP, FOOT = "─" * 120, "▄" * 120, "▀" * 120
HINTS = " " * 104 + "? for shortcuts"
STATUS = " workspace (/directory)        sandbox       /model\n /home/x/work      no sandbox    Auto"
INPUT = f"{RULE_LINE}\n Shift+Tab to accept edits\n{TOP}\n >   Type your message or @path/to/file\n{FOOT}\n{STATUS}"
PLAIN_INPUT = f"{RULE_LINE}\n Shift+Tab to accept edits\n\n >   Type your message or @path/to/file\n\n{STATUS}"
BANNER = " ▝▜▄     Gemini CLI v0.61.0\n   ▝▜▄\n  ▗▟▀    Authenticated with gemini-api-key /auth\n ▝▀\n\n"
ECHO = f"{TOP}\n > SLOW3\n{FOOT}\n✦ word1 word2\n\n"
READY = f"{BANNER}{ECHO}{HINTS}\n{INPUT}"
BUSY = f"{BANNER}{ECHO} ⠸ Thinking... (esc to cancel, 1m 4s){HINTS}\n{INPUT}"
APPROVAL = f"""{BANNER}{ECHO}
╭{"─" * 118}╮
│ ? Shell  touch /x/gz{" " * 97} │
│ ╭{"─" * 114}╮ │
│ │ touch /x/gz{" " * 101} │ │
│ ╰{"─" * 114}╯ │
│ Allow execution of [Shell]?{" " * 90} │
│{" " * 118}│
│ ● 1. Allow once{" " * 102} │
│   2. Allow for this session{" " * 90} │
│   3. No, suggest changes (esc){" " * 87} │
╰{"─" * 118}╯"""
TRUST = f"""{BANNER}
 ╭{"─" * 116}╮
 │{" " * 116}│
 │ Do you trust the files in this folder?{" " * 77}│
 │{" " * 116}│
 │ ● 1. Trust folder (work){" " * 91}│
 │   2. Trust parent folder (x){" " * 87}│
 │   3. Don't trust{" " * 99}│
 ╰{"─" * 116}╯"""
AUTH = f"""{BANNER}
╭{"─" * 118}╮
│ ? Get started{" " * 104}│
│   How would you like to authenticate for this project?{" " * 63}│
│   ● 1. Sign in with Google{" " * 91}│
│     2. Use Gemini API Key{" " * 92}│
╰{"─" * 118}╯"""
MENU = f"""{BANNER}{ECHO}
╭{"─" * 118}╮
│ Select Model{" " * 105}│
│{" " * 118}│
│ ● 1. Auto{" " * 108}│
│   2. Manual{" " * 106}│
│{" " * 118}│
│ (Press Esc to close){" " * 97}│
╰{"─" * 118}╯"""
SETTINGS = f"""{BANNER}{ECHO}
╭{"─" * 118}╮
│  > Settings{" " * 107}│
│ ╭{"─" * 114}╮ │
│ │ Search to filter{" " * 97}│ │
│ ╰{"─" * 114}╯ │
│  ● Vim Mode{" " * 101}false │
│    Enable Vim keybindings{" " * 93}│
│    Apply To{" " * 107}│
│  ● User Settings{" " * 102}│
│  (Use Enter to select, Tab to change focus, Esc to close){" " * 62}│
╰{"─" * 118}╯"""
SESSIONS = f"""{BANNER}{ECHO}
 Chat Sessions (1 total)                                 sorted by date desc
 Navigate: ↑/↓   Resume: Enter   Search: /   Delete: x   Quit: q

 ❯ #1    │ 3    │ 42s  │ a first prompt (current)
 ▼"""
TALL = MENU[MENU.index("│ Select") :]
NO_SESSIONS = f"{BANNER}{ECHO}\n No auto-saved conversations found.\n Press q to exit"
STARTING = f"\n{HINTS}\n{INPUT}"
RESUMING = f"{BANNER}{ECHO}⠋ Resuming session...\n{HINTS}\n{RULE_LINE}\n Shift+Tab to accept edits\n{STATUS}"


def rule_of(screen: str, title: str = "") -> tuple[str, str] | None:
    """The rule that wins and its state, as core decides: overrides, then the title, then the screen."""
    found = []
    for rule in PROFILE.rules:
        text = title if rule.where == "title" else screen
        if rule.last_rows:
            text = "\n".join(text.rstrip().split("\n")[-rule.last_rows :])
        if re.search(rule.pattern, text, re.MULTILINE):
            found.append(rule)
    found.sort(key=lambda rule: (not rule.override, rule.where != "title"))
    return (found[0].id, found[0].state) if found else None


@pytest.mark.parametrize(
    ("screen", "expected"),
    [
        (READY, ("gemini-idle", "idle")),
        (f"{BANNER}{HINTS}\n{PLAIN_INPUT}", ("gemini-idle", "idle")),
        (BUSY, ("gemini-busy", "busy")),
        (APPROVAL, ("gemini-approval", "waiting")),
        (TRUST, ("gemini-trust", "onboarding")),
        (AUTH, ("gemini-auth", "onboarding")),
        (MENU, ("gemini-menu", "waiting")),
        (SETTINGS, ("gemini-menu", "waiting")),
        (TALL, ("gemini-menu", "waiting")),
        (SESSIONS, ("gemini-sessions", "waiting")),
        (NO_SESSIONS, ("gemini-sessions", "waiting")),
        (STARTING, ("gemini-starting", "unknown")),
        (RESUMING, ("gemini-loading", "unknown")),
        ("\n\n", ("gemini-loading", "unknown")),
    ],
)
def test_each_screen_is_recognised(screen: str, expected: tuple[str, str] | None) -> None:
    assert rule_of(screen) == expected


@pytest.mark.parametrize("screen", [TRUST, AUTH, STARTING, RESUMING, MENU, TALL, SETTINGS, SESSIONS, NO_SESSIONS])
def test_a_title_that_says_ready_too_early_is_overruled(screen: str) -> None:
    found = rule_of(screen, "◇  Ready (work)")
    assert found is not None
    assert found[1] != "idle"


@pytest.mark.parametrize(
    ("title", "state"),
    [
        ("◇  Ready (work)     ", "idle"),
        ("✦  Working… (work)  ", "busy"),
        ("✦  Reading the files (work)", "busy"),
        ("⏲  Working… (work)", "busy"),
        ("✋  Action Required (work)", "waiting"),
    ],
)
def test_the_title_tells_the_state(title: str, state: str) -> None:
    found = rule_of(READY, title)
    assert found is not None
    assert found[1] == state


@pytest.mark.parametrize("about", [TRUST, AUTH, APPROVAL, MENU, SETTINGS, SESSIONS])
def test_a_conversation_about_such_a_screen_is_not_one(about: str) -> None:
    assert rule_of(f"{about}\n\n{HINTS}\n{INPUT}") == ("gemini-idle", "idle")


def test_the_approval_tells_its_question_and_a_command_of_one_row() -> None:
    rule = next(rule for rule in PROFILE.rules if rule.id == "gemini-approval")
    found = re.search(rule.pattern, APPROVAL, re.MULTILINE)
    assert found is not None
    assert (found["command"], found[2]) == ("touch /x/gz", "Allow execution of [Shell]?")


@pytest.mark.parametrize("draft", ["hello there", "first row\n   second row", "[Pasted Text: 300 lines]"])
def test_the_input_box_holds_the_draft_and_not_the_prompt_before(draft: str) -> None:
    assert PROFILE.submit.input_box is not None
    screen = READY.replace("  Type your message or @path/to/file", draft)
    found = list(re.finditer(PROFILE.submit.input_box, screen, re.MULTILINE | re.DOTALL))[-1]
    assert "".join(found.group(1).split()) == "".join(draft.split())


@pytest.mark.parametrize("top", ["", f"╭{'─' * 498}╮\n"])
@pytest.mark.parametrize(
    "row",
    [
        " " * 500,
        " ⠸ x (esc to cancel".ljust(500),
        "│ 1. " + "x" * 495,
        "│ " + "Esc to " * 71,
        " > " + "x" * 497,
        "─" * 500,
        "▄" * 500,
        "│ │ x │ │",
        f"{RULE_LINE}\n\n > x",
        "",
    ],
)
def test_rules_and_transcript_take_little_time_on_the_largest_screen(row: str, top: str) -> None:
    screen = top + f"{row}\n" * 199
    started = time.process_time()
    rule_of(screen)
    for pattern in (*PROFILE.transcript.live, PROFILE.submit.input_box or ""):
        list(re.finditer(pattern, screen, re.MULTILINE))
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("screen", "options"),
    [
        (
            APPROVAL,
            [
                ("accept", "Allow once", True, "1"),
                ("option2", "Allow for this session", False, "2"),
                ("deny", "No, suggest changes", False, "3"),
            ],
        ),
        (
            TRUST,
            [
                ("option1", "Trust folder (work)", True, "1"),
                ("option2", "Trust parent folder (x)", False, "2"),
                ("option3", "Don't trust", False, "3"),
            ],
        ),
        (MENU, [("option1", "Auto", True, None), ("option2", "Manual", False, None)]),
        (SETTINGS, []),
        (TALL, []),
        (SESSIONS, []),
    ],
)
def test_a_dialog_offers_what_stands_there(screen: str, options: list[tuple[str, str, bool, str | None]]) -> None:
    assert offered(PROFILE, screen) == options


def test_no_key_reaches_a_gemini_that_ends_slowly() -> None:
    """Two Ctrl-C within 3 s end it, in up to 1.9 s under load; one more meanwhile would hang it."""
    assert 1.9 < PROFILE.exit.pause_s < 3.0


@pytest.mark.parametrize("screen", [MENU, TALL, SETTINGS, SESSIONS, NO_SESSIONS])
def test_no_row_of_a_menu_is_a_line(screen: str) -> None:
    rows = screen.split("\n")
    live = RowRules(PROFILE.transcript).live_row(rows)
    said = f"{BANNER}{ECHO}" if screen.startswith(BANNER) else ""
    assert live is not None
    assert "\n".join(rows[:live]).strip() == said.strip()


def test_a_spinner_that_a_resize_left_above_the_answer_is_not_where_the_live_rows_begin() -> None:
    left = f"✦ word1\n word2\n\n ⠴ Thinking... (esc to cancel, 1s)\n   ? for shortcuts\n{RULE_LINE}\n"
    screen = f"{left}✦ word1 word2\n  word3 END\n\n{HINTS}\n{INPUT}"
    rows = screen.split("\n")
    live = RowRules(PROFILE.transcript).live_row(rows)
    assert live is not None
    assert "  word3 END" in rows[:live]
    assert RowRules(PROFILE.transcript).live_row(BUSY.split("\n")) == BUSY.count("\n", 0, BUSY.index("⠸"))
