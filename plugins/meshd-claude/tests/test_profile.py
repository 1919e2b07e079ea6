"""Claude Code's screens, as 2.1.330 draws them, and what the rules make of each."""

import re
import time

import pytest
from meshd_claude.profile import PROFILE

from meshd_core.slots.input_box import InputBox
from meshd_core.terminal.transcript_live import RowRules
from meshd_core.testing.dialogs import offered

RULE_LINE = "─" * 120
INPUT = f"{RULE_LINE}\n❯\u00a0\n{RULE_LINE}\n  ⏸ manual mode on · ? for shortcuts"
LOGGED_OUT = f"{INPUT}                         Not logged in · run /login"
BUSY = (
    "❯ SLOW6\n●\n✢ Ruminating… (0s · ↓ 5 tokens)\n"
    f"{RULE_LINE}\n❯\u00a0\n{RULE_LINE}\n  ⏸ manual mode on · esc to interrupt"
)
RETRY = (
    "❯ ERR429\n✻ 429 the fake model answers 429 · retrying in 2s · attempt 3/10\n"
    f"{RULE_LINE}\n❯\u00a0\n{RULE_LINE}\n  ⏸ manual mode on · esc to interrupt"
)
UNCLEAR = RETRY.replace("429 the fake model answers 429", "API error")
LIMIT = RETRY.replace("429 the fake model answers 429", "Weekly limit reached").replace("in 2s", "in 1m 6s (4:39am)")
OF_2_1_311 = RETRY.replace("retrying", "Retrying")
TRUST = f"""{RULE_LINE}
 Accessing workspace:

 /home/x/work

 Quick safety check: Is this a project you created or one you trust? (Like your own code, a well-known open source
 project, or work from your team). If not, take a moment to review what's in this folder first.

 Security guide

 ❯ No, exit
   Yes, I trust this folder

 Enter to confirm · Esc to cancel"""
API_KEY = """
  Detected a custom API key in your environment

  ANTHROPIC_API_KEY: sk-ant-...00000000000000000000

  Do you want to use this API key?

    Yes
  ❯ No (recommended)

  Enter to confirm · Esc to cancel"""
THEME = """ Let's get started.

 Choose the text style that looks best with your terminal
 To change this later, run /theme

 ❯ ✔ Auto (match terminal)
     Dark mode"""
APPROVAL = f"""❯ TOOL touch abc
{RULE_LINE}
 Bash command
 touch abc
 Do you want to proceed?
 ❯ 1. Yes
   2. Yes, and always allow access to /home/x/work from this project
   3. Yes, and switch to auto mode · auto mode handles these prompts for you
   4. No

 Esc to cancel · Tab to amend"""
QUESTION = f"""❯ choose
{RULE_LINE}
 ☐ Colour

Which colour shall it be?

❯ 1. Red
     like blood
  2. Blue
     like the sky
  3. Type something.
{RULE_LINE}
  4. Chat about this

Enter to select · ↑/↓ to navigate · Esc to cancel"""
QUESTIONS = QUESTION.replace(" ☐ Colour", "←  ☐ Colour  ☐ Size  ✔ Submit  →")
HELP = "❯ /help\n  For more help: https://code.claude.com/docs/en/overview\n\n  ←/→ to switch · Esc to close"
SELECT = f"""❯ fix three things:
  one
  two

{RULE_LINE}
 Select model

 ❯ 1. Default (recommended)  Opus
   2. Sonnet                 For everyday tasks

 Enter to confirm · Esc to exit"""
MODEL = "   5. Haiku\n\n  ◐ Medium effort\n\n  s to use this session only · Enter to save · Esc to cancel\n"


def match(screen: str) -> tuple[str, str] | None:
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
        (INPUT, ("claude-idle", "idle")),
        (LOGGED_OUT, ("claude-logged-out", "onboarding")),
        (BUSY, ("claude-busy", "busy")),
        (RETRY, ("claude-rate-limit", "limited")),
        (LIMIT, ("claude-rate-limit", "limited")),
        (OF_2_1_311, ("claude-rate-limit", "limited")),
        (UNCLEAR, ("claude-busy", "busy")),
        (TRUST, ("claude-trust", "onboarding")),
        (API_KEY, ("claude-api-key", "onboarding")),
        (THEME, ("claude-theme", "onboarding")),
        (APPROVAL, ("claude-approval", "waiting")),
        (QUESTION, ("claude-question", "waiting")),
        (QUESTIONS, ("claude-question", "waiting")),
        (HELP, ("claude-menu", "waiting")),
        (MODEL, ("claude-menu", "waiting")),
        (SELECT, ("claude-menu", "waiting")),
        ("", None),
    ],
)
def test_each_screen_is_recognised(screen: str, expected: tuple[str, str] | None) -> None:
    assert match(screen) == expected


@pytest.mark.parametrize(
    ("screen", "left"),
    [
        (RETRY, (None, None, "2")), (LIMIT, (None, "1", "6")),
        (LIMIT.replace("1m 6s", "1h 6m"), ("1", "6", None)),
    ],
)  # fmt: skip
def test_a_retry_tells_when_it_comes(screen: str, left: tuple[str | None, ...]) -> None:
    rule = next(rule for rule in PROFILE.rules if rule.id == "claude-rate-limit")
    found = re.search(rule.pattern, screen, re.MULTILINE)
    assert found is not None
    assert found.group("hours", "minutes", "seconds") == left


@pytest.mark.parametrize(
    "about", [TRUST, API_KEY, THEME, LOGGED_OUT, APPROVAL, QUESTION, HELP, "❯ Select login method:"]
)
def test_a_conversation_about_such_a_screen_is_not_one(about: str) -> None:
    assert match(f"● It showed this:\n{about}\n\n{INPUT}") == ("claude-idle", "idle")


@pytest.mark.parametrize("draft", ["hello there", "first row\n  second row"])
def test_the_input_box_holds_the_draft(draft: str) -> None:
    assert PROFILE.submit.input_box is not None
    screen = f"● earlier\n{RULE_LINE}\n❯\u00a0{draft}\n{RULE_LINE}\n  ⏸ manual mode on"
    found = list(re.finditer(PROFILE.submit.input_box, screen, re.MULTILINE | re.DOTALL))[-1]
    assert "".join(found.group(1).split()) == "".join(draft.split())


def test_a_row_that_looks_like_a_rule_does_not_hide_the_input_box() -> None:
    screen = f"● a row of rules:\n{RULE_LINE}\n\n{RULE_LINE}\n❯\u00a0half a line\n{RULE_LINE}\n  ⏸ manual mode on"
    assert InputBox(lambda: PROFILE.submit, lambda: screen).text() == "halfaline"


@pytest.mark.parametrize(
    "screen",
    [
        (" " * 500 + "\n") * 200,
        ("❯ " + "x" * 498 + "\n") * 200,
        ("─" * 500 + "\n") * 200,
        RULE_LINE + ("\n" + "x " * 250) * 199,
    ],
)
def test_the_rules_take_little_time_on_the_largest_screen(screen: str) -> None:
    started = time.process_time()
    match(screen)
    RowRules(PROFILE.transcript).live_row(screen.split("\n"))
    assert time.process_time() - started < 0.25


@pytest.mark.parametrize("hint", ["  ⎿  Queued · ctrl+x ctrl+s to send now", "  ctrl+x ctrl+s to send now"])
@pytest.mark.parametrize("queued", ["❯ second", "❯ second\n\n❯ third", "❯ second\n  of two rows"])
def test_prompts_that_wait_below_a_growing_answer_are_no_lines_yet(queued: str, hint: str) -> None:
    told = "❯ first\n\n● an answer that\n  grows\n"
    screen = f"{told}\n{queued}\n{hint}\n\n✢ Ruminating… (0s · ↓ 5 tokens)\n\n{INPUT}"
    live = RowRules(PROFILE.transcript).live_row(screen.split("\n"))
    assert screen.split("\n")[:live] == told.split("\n")


def test_prompts_that_wait_no_more_are_lines() -> None:
    told = "❯ first\n\n● an answer\n\n✻ Crunched for 3s\n\n❯ second\n\n❯ third\n"
    screen = f"{told}\n✢ Ruminating… (0s · ↓ 5 tokens)\n\n{INPUT}"
    live = RowRules(PROFILE.transcript).live_row(screen.split("\n"))
    assert "❯ third" in screen.split("\n")[:live]


@pytest.mark.parametrize(
    ("screen", "options"),
    [
        (
            APPROVAL,
            [
                ("accept", "Yes", True, "1"),
                ("option2", "Yes, and always allow access to /home/x/work from this project", False, "2"),
                (
                    "option3",
                    "Yes, and switch to auto mode · auto mode handles these prompts for you",
                    False,
                    "3",
                ),
                ("deny", "No", False, "4"),
            ],
        ),
        (
            QUESTION,
            [
                ("option1", "Red", True, "1"),
                ("option2", "Blue", False, "2"),
                ("option3", "Type something.", False, "3"),
                ("option4", "Chat about this", False, "4"),
            ],
        ),
        (SELECT, [("option1", "Default (recommended)", True, None), ("option2", "Sonnet", False, None)]),
        (HELP, []),
        (f"❯ fix three things:\n  one\n  two\n  three\n\n{MODEL}", []),
        (SELECT.replace("❯ 1", "  1"), []),
        (TRUST, [("option1", "No, exit", True, None), ("option2", "Yes, I trust this folder", False, None)]),
        (API_KEY, [("option1", "Yes", False, None), ("option2", "No (recommended)", True, None)]),
    ],
)
def test_a_dialog_offers_what_stands_there(screen: str, options: list[tuple[str, str, bool, str | None]]) -> None:
    assert offered(PROFILE, screen) == options
