"""Codex's screens, as 0.169.0 draws them, and what the rules make of each."""

import re
import time

import pytest
from meshd_codex.profile import PROFILE

from meshd_core.slots.sanitize import refused, sanitize
from meshd_core.slots.versions import profile_for_version
from meshd_core.terminal.transcript_live import RowRules
from meshd_core.testing.dialogs import offered

STATUS = (
    "\n\n  gpt-5-codex default · /home/x/work\n  ← for agents · ? for shortcuts              ⚠ 2 warnings · f2 to view"
)
INPUT = f"› Ask Codex to do anything{STATUS}"
BUSY = f"› SLOW\n\n\n◦ Working (1m 05s • esc to interrupt)\n\n\n{INPUT}"
STREAMING = f"› SLOW\n\n\n• word1 word2\n\n\n{INPUT}"
RETRY = (
    "› ERR429\n\n\n• Server is busy, reconnecting 2/5 (3s • esc to interrupt)\n"
    f"  └ Exceeded retry limit, last status: 429 Too Many Requests\n\n\n{INPUT}"
)
RETRY_500 = (
    "› ERR500\n\n\n◦ Reconnecting... 4/5 (21s • esc to interrupt)\n"
    f"  └ We’re currently experiencing high demand, which may cause temporary errors.\n\n\n{INPUT}"
)
APPROVAL = """› TOOL touch /x/zz


• Running touch /x/zz


  Would you like to run the following command?

  Environment: local

  Reason: A command of the fake model

  $ touch /x/zz


› 1. Yes, proceed (y)
  2. Yes, and don't ask again for commands that start with `touch /x/zz` (p)
  3. No, and tell Codex what to do differently (esc)

  Press enter to confirm or esc to cancel"""
TRUST = """
  Folder access

  /home/x/other

  Trust this folder? Codex can read, edit, and run files here, subject to your permission settings. Folder settings
  can run code automatically, even without a model request. Continue only if you trust these files. Your trust
  decision will be saved.

› 1. Trust and continue
  2. Back to Agent Command Center

  enter continue · esc back"""
LOGIN = """  Welcome to Codex, OpenAI's command-line coding agent

  Choose how you want to use Codex.

> 1. Sign in with ChatGPT
     Usage included with Plus, Pro, Business, and Enterprise plans

  2. Sign in with Device Code
     Sign in from another device with a one-time code

  3. Sign in another way
     Use an API key or another provider

  Press enter to continue"""
MENU = """  Update Model Permissions

› 1. Ask for approval (current)  Read and edit workspace files and run commands
  2. Approve for me              Only ask for actions detected as potentially unsafe

  enter select · esc back"""

THEMES = """  Select Syntax Theme
  Move up/down to live preview themes

  Type to filter themes...                                     31  fn summarize() -> String {
↑                                                              32 -    let active = users;
  nord                                                         32 +    let active = users;
› one-half-dark                                                33      let names = names();

  enter select · esc back"""
BOXES = """  Experimental features

› [ ] Analytics plan history         Preview five-hour and weekly allowance history for consumer accounts in /analytics.
  [ ] Custom status line             Restart the TUI, then use /statusline.

  space toggle · enter save · esc cancel"""
ECHO = "› first row\n  second row\n  third\n\n"
TYPING = """  Custom review instructions
  Type instructions and press Enter

  Press enter to confirm or esc to go back"""
SESSIONS = """ Resume a previous session

 Filter:  Cwd  All    Status:  Active  Archived    Sort:  Updated  Created

 Type to search

  No sessions yet

─────────────────────────────────────────────────────────── 0 / 0 · 100% ─
 enter resume   esc exit   ^c exit   tab focus sort/filter   ←/→ change option
 ^o comfortable view   ^t transcript   ^e expand   ↑/↓ browse"""
DIFF = """/ D I F F / / / / / / / / / / / / / / / / / / / / / / /
diff --git a/a b/a
+b
~
───────────────────────────────────────────────────────── 100% ─
 ↑/↓ to scroll · pgup/pgdn to page · home/end to jump
 q close"""
SHORTCUTS = (
    f"  Keyboard shortcuts\n\n  /   Commands      tab   Send message\n\n{INPUT.rpartition(chr(10))[0]}\n  ? / esc close"
)


def rule_of(screen: str) -> tuple[str, str] | None:
    """The rule that wins and its state, as core decides: overrides first, then the first that matches."""
    found = []
    for rule in PROFILE.rules:
        text = "\n".join(screen.rstrip().split("\n")[-rule.last_rows :]) if rule.last_rows else screen
        if re.search(rule.pattern, text, re.MULTILINE):
            found.append(rule)
    found.sort(key=lambda rule: not rule.override)
    return (found[0].id, found[0].state) if found else None


@pytest.mark.parametrize(
    ("screen", "expected"),
    [
        (INPUT, ("codex-idle", "idle")),
        ("! touch x\n\n  gpt-5 default · ~/work", ("codex-idle", "idle")),  # a shell mode that was left on
        (BUSY, ("codex-busy", "busy")),
        (STREAMING, ("codex-idle", "idle")),  # the signal tells; on the screen there is nothing
        (RETRY, ("codex-rate-limit", "limited")),
        (RETRY_500, ("codex-busy", "busy")),
        (APPROVAL, ("codex-approval", "waiting")),
        (TRUST, ("codex-trust", "onboarding")),
        (LOGIN, ("codex-login", "onboarding")),
        (MENU, ("codex-menu", "waiting")),
        (THEMES, ("codex-menu", "waiting")),
        (BOXES, ("codex-menu", "waiting")),
        (SESSIONS, ("codex-menu", "waiting")),
        (f"{ECHO}• Hello\n\n{TYPING}", ("codex-menu", "waiting")),
        (
            APPROVAL.replace("touch /x/zz\n\n\n›", "cat <<E\n" + "  a row?\n" * 60 + "\n\n›"),
            ("codex-approval", "waiting"),
        ),
        (DIFF, ("codex-pager", "waiting")),
        (SHORTCUTS, ("codex-idle", "idle")),  # they stand above the box, which takes keys
        ("", None),
    ],
)
def test_each_screen_is_recognised(screen: str, expected: tuple[str, str] | None) -> None:
    assert rule_of(screen) == expected


@pytest.mark.parametrize(
    "about", [TRUST, LOGIN, APPROVAL, MENU, THEMES, SESSIONS, DIFF, "• I saw:\n  1. one\n  2. two\n  esc to cancel"]
)
def test_a_conversation_about_such_a_screen_is_not_one(about: str) -> None:
    assert rule_of(f"• It showed this:\n{about}\n\n\n{INPUT}") == ("codex-idle", "idle")


def test_the_approval_tells_its_question_and_its_command() -> None:
    rule = next(rule for rule in PROFILE.rules if rule.id == "codex-approval")
    found = re.search(rule.pattern, APPROVAL, re.MULTILINE)
    assert found is not None
    assert (found[1], found["command"]) == ("Would you like to run the following command?", "touch /x/zz")
    edits = APPROVAL.replace("run the following command", "make the following edits").replace("  $ touch /x/zz\n", "")
    found = re.search(rule.pattern, edits, re.MULTILINE)
    assert found is not None
    assert (found[1], found["command"]) == ("Would you like to make the following edits?", None)


@pytest.mark.parametrize("draft", ["hello there", "first row\n  second row", "[Pasted Content 3189 chars]"])
def test_the_input_box_holds_the_draft_and_not_the_prompt_before(draft: str) -> None:
    assert PROFILE.submit.input_box is not None
    screen = f"› the one before\n\n\n• said\n\n\n› {draft}{STATUS}"
    found = list(re.finditer(PROFILE.submit.input_box, screen, re.MULTILINE | re.DOTALL))[-1]
    assert "".join(draft.split()) in "".join(found.group(1).split())
    assert "before" not in found.group(1)


@pytest.mark.parametrize(
    "row",
    [
        " " * 500, "› " + "x" * 498, "› 1. " + "x" * 495, "  2. " + "x" * 495, "  1. " + "esc back " * 55,
        "Would you like to run?", "Would you like to x?\n  $ x", "\n\n  " + "x " * 249,
        "› x\n  enter select · esc back",
        "› ", "",
    ],
)  # fmt: skip
def test_rules_and_transcript_take_little_time_on_the_largest_screen(row: str) -> None:
    screen = f"{row}\n" * 200
    started = time.process_time()
    rule_of(screen)
    for pattern in (*PROFILE.transcript.live, PROFILE.submit.input_box or ""):
        list(re.finditer(pattern, screen, re.MULTILINE))
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("menu", [MENU, THEMES, BOXES, TYPING])
def test_no_row_of_a_menu_is_a_line(menu: str) -> None:
    said = "› first\n\n\n• said\n\n  and more"
    rows = f"{said}\n\n\n{menu}\n\n".split("\n")
    live = RowRules(PROFILE.transcript).live_row(rows)
    assert live is not None
    assert "\n".join(rows[:live]).strip() == said


@pytest.mark.parametrize("screen", [SESSIONS, DIFF])
def test_what_has_the_whole_screen_is_no_line(screen: str) -> None:
    assert RowRules(PROFILE.transcript).live_row(screen.split("\n")) == 0


def test_an_approval_takes_little_time_where_each_row_asks() -> None:
    rule = next(rule for rule in PROFILE.rules if rule.id == "codex-approval")
    pattern = re.compile(rule.pattern, re.MULTILINE)
    started = time.process_time()
    for _ in range(5):
        assert pattern.search("Would you like to x?\n" * 200) is None
    assert time.process_time() - started < 0.25


def test_the_input_box_takes_little_time_where_each_row_could_be_the_last() -> None:
    """Half a second and more before; the box is read every 20 ms while a prompt is typed."""
    screen = "› x\n" + (" " * 2 + "· " * 249 + "\n\n") * 100
    started = time.process_time()
    for _ in range(3):
        assert len(list(re.finditer(PROFILE.submit.input_box or "", screen, re.MULTILINE | re.DOTALL))) == 1
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    ("screen", "options"),
    [
        (
            APPROVAL,
            [
                ("accept", "Yes, proceed", True, "y"),
                (
                    "option2",
                    "Yes, and don't ask again for commands that start with `touch /x/zz`",
                    False,
                    "p",
                ),
                ("deny", "No, and tell Codex what to do differently", False, None),
            ],
        ),
        (
            TRUST,
            [("option1", "Trust and continue", True, None), ("option2", "Back to Agent Command Center", False, None)],
        ),
        (
            f"› 1. of before\n\n• said\n\n{MENU}",
            [("option1", "Ask for approval (current)", True, None), ("option2", "Approve for me", False, None)],
        ),
        (THEMES, [("option1", "nord", False, None), ("option2", "one-half-dark", True, None)]),
        (BOXES, []),
        (SESSIONS, []),
        (f"{ECHO}• Hello\n\n{TYPING}", []),
        (f"{ECHO}{TYPING}", []),
        (f"› 1. first\n  2. second\n\n{TYPING}", []),
        (DIFF, [("close", "close", False, "q")]),
    ],
)
def test_a_dialog_offers_what_stands_there(screen: str, options: list[tuple[str, str, bool, str | None]]) -> None:
    assert offered(PROFILE, screen) == options


@pytest.mark.parametrize("drawn", ["  1. Yes, proceed (p)", "  1. Yes, proceed (y)\n  2. Never mind (z)"])
def test_a_command_that_is_drawn_like_options_is_none_of_them(drawn: str) -> None:
    assert offered(PROFILE, APPROVAL.replace("  $ touch /x/zz\n", f"  $ cat <<E\n{drawn}\n  E\n")) == offered(
        PROFILE, APPROVAL
    )


@pytest.mark.parametrize(
    ("version", "made_plain"),
    [(None, False), ("0.164.0", False), ("0.168.0", False), ("0.172.0", False), ("0.169.0", True), ("0.171.0", True)],
)
def test_a_shell_command_is_made_plain_only_where_that_is_known_to_help(version: str | None, made_plain: bool) -> None:
    """0.164.0 trims the blanks and runs it."""
    rules = profile_for_version(PROFILE, version).sanitize
    for text in ("!touch x", " \n\t!touch x", "\u00a0!touch x"):
        plain, changes = sanitize(text, rules)
        assert changes == (("leading_bang_neutralised",) if made_plain else ())
        assert (refused(plain, rules) is None) == made_plain
    assert refused("touch!", rules) is None
