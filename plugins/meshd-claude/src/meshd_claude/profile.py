"""What Claude Code looks like and how it is typed into. Measured with 2.1.330, in both screen modes.

Its status signals are asked for (`OSC 7501 ; ?`) and sent only if answered, which core does. A turn ends with `done`,
an interrupted or denied one with `idle`, a failed one with `error`.
"""

from meshd_core.api import (
    INVISIBLE,
    DialogOption,
    ExitRecipe,
    Keys,
    KindProfile,
    Rule,
    SanitizeRules,
    SubmitRecipe,
    TranscriptRules,
)

# The input box stands between two rules; where it is seen, no trust, key or login screen can be up: without this, a
# conversation about those screens would look like one. The rule below may be the one above of the next match: a row of
# an answer that looks like a rule would hide the box else.
_INPUT_BOX = r"^─{20}[^\n]*\n❯[^\n]*\n(?:(?!─{20})[^\n]*\n){0,30}(?=─{20})"
_NO_INPUT_BOX = rf"\A(?![\s\S]*{_INPUT_BOX})[\s\S]*?"
_CHOICES = (
    DialogOption("accept", "Yes"), DialogOption("deny", "No"),
    DialogOption("deny", "No, and tell Claude what to do differently"),
)  # fmt: skip
_OPTION = r"^ *(?P<default>❯)? *(?P<key>\d)\. (?P<label>[^\n]+?)(?: \((?:esc|shift\+tab)\))?$"
_YES_OR_NO = r"^ *(?P<default>❯)? *(?:\d\. )?(?P<label>(?:Yes|No)\b[^\n]*)$"

RULES = (
    Rule(
        "claude-trust", "onboarding",
        _NO_INPUT_BOX + r"^ *Accessing workspace:[\s\S]*?(Is this a project you created or one you trust\?)",
        override=True, dialog="trust", option_pattern=_YES_OR_NO,
        advice="decide with `meshd attach` whether Claude Code may work in this folder; one of the options ends it",
    ),
    Rule(
        "claude-api-key", "onboarding",
        _NO_INPUT_BOX + r"^ *Detected a custom API key[\s\S]*?^ *(Do you want to use this API key\?)",
        override=True, dialog="login", option_pattern=_YES_OR_NO,
        advice="say with `meshd attach` whether the key in ANTHROPIC_API_KEY is to be used",
    ),
    Rule(
        "claude-theme", "onboarding",
        _NO_INPUT_BOX + r"^ *(Choose the text style that looks best[^\n]*)",
        override=True, dialog="theme",
        advice="go through Claude Code's first run with `meshd attach`: it wants a theme, then a login",
    ),
    Rule(
        "claude-login", "onboarding",
        _NO_INPUT_BOX + r"^ *(Select login method:|Paste code here if prompted)",
        override=True, dialog="login",
        advice="log in with `meshd attach`, or give the slot an ANTHROPIC_API_KEY in `env` and start it again",
    ),
    Rule(
        # It shows its prompt, and answers each one with just this.
        "claude-logged-out", "onboarding",
        r"^─{20}[^\n]*\n(?:[^\n]*\n)?[^\n]*(Not logged in · (?:Please )?run /login)\s*\Z",
        override=True, dialog="login",
        advice="log in by /login with `meshd attach`, or give the slot an ANTHROPIC_API_KEY in `env` and start it",
    ),
    Rule(
        "claude-approval", "waiting",
        _NO_INPUT_BOX + r"^ *(Do you want to [^\n]+\?)\n(?: *❯? *\d\. [^\n]*\n){2,8}\s*Esc to cancel",
        override=True, dialog="approval", options=_CHOICES, option_pattern=_OPTION,
    ),
    Rule(
        # What the model asks by its tool AskUserQuestion; a digit chooses.
        "claude-question", "waiting",
        _NO_INPUT_BOX + r"^(?:←| )[^\n]*[☐☒][^\n]*\n\n([^\n]+(?:\n[^\n]+){0,4})\n\n(?P<options>[❯ ] 1\. )[^\n]*\n"
        r"(?:[^\n]*\n){1,40}?Enter to select ·[^\n]*Esc to cancel\s*\Z",
        override=True, dialog="question", option_pattern=_OPTION,
    ),
    Rule(
        # /help, /model, /config and their like: no signal tells of them, and Enter there changes settings. Below their
        # last rule row; where there is none, nothing tells the list from the conversation.
        "claude-menu", "waiting",
        _NO_INPUT_BOX + r"(?:^(?P<options>─{20})[^\n]*\n(?:(?!─{20})[^\n]*\n)*)?"
        r"^(?![^\n]*Tab to amend)[^\n]*\b(?:Esc to (?:close|cancel|go back|exit))\b[^\n]*\s*\Z",
        override=True, dialog="menu",
    ),
    Rule(
        # A limit that the server names, or from the third try on a bare 429: of the first two it says "API error", as
        # after any other, and neither status file nor log tells which.
        "claude-rate-limit", "limited",
        r"^\S (?:[^\n]*\b429\b[^\n]*|[^\n]* reached) · [Rr]etrying in "
        r"(?:(?P<hours>\d+)h ?)?(?:(?P<minutes>\d+)m ?)?(?:(?P<seconds>\d+) ?s)?[^\n]* · attempt \d+/\d+",
        override=True, last_rows=12,
    ),
    Rule("claude-busy", "busy", r"\besc to interrupt\b", last_rows=4),
    Rule("claude-idle", "idle", _INPUT_BOX, confidence=0.6),
)  # fmt: skip

TRANSCRIPT = TranscriptRules(
    live=(
        r"^─{20}[^\n]*\n(?:❯|!|#)[^\n]*\n(?:(?!─{20})[^\n]*\n){0,30}?─{20}",
        r"^─{20}[^\n]*\n(?=(?:(?!─{20})[^\n]*\n){0,30}[^\n]*❯ 1\. )",
        r"^─{20}[^\n]*\n(?=(?:(?!─{20})[^\n]*\n){2,30} *Enter to confirm · Esc to cancel\s*\Z)",
        # Prompts that wait: they stand below an answer that still grows. No answer lies between them and their hint.
        r"^❯ [^\n]*\n(?:(?:❯ [^\n]*|  [^\n]*)?\n){0,60}?  (?:⎿  Queued\b|\S+(?: \S+)? to send now$)",
    ),
    drop=(
        r"^ ?[▐▝▘ ]{1,3}[▛▜█▝▘▐▌▙▟ ]{3,}",
        r"^[✻✶✳✽✢·*] \S+(?: \S+){0,6}(?:…| for \d+)",
        r"◐ \w+ · /effort$",
        r"^\s*⎿\s+Tip: ",
        r"^● ?$",
        r"^ +Waiting for permission…",
        r"^\S [^\n]*· [Rr]etrying(?: in \d+ ?[hms]\b|…)",
        r"^ +⎿\s+(?:Waiting|Running)…$",
        # The picture that it draws at its first run.
        r"^\.{20,}$|^(?=[^\n]*[░▓█])[ *.░▓█▄▀]+$",
    ),
    echo=(r"^❯ ",),
)

PROFILE = KindProfile(
    name="claude",
    title="Claude Code",
    measured=("2.1.330",),
    commands=("claude",),
    install_hint="install Claude Code: npm install -g @anthropic-ai/claude-code",
    output="screen",
    proves="completed",
    signals=True,
    rules=RULES,
    submit=SubmitRecipe(
        paste="bracketed",
        settle_s=0.5,
        confirm_s=4.0,
        second_enter=True,
        input_box=r"^─{20}[^\n]*\n❯?((?:(?!─{20})[^\n]*\n){1,30}?)(?=─{20})",
        sees_drafts=True,
        refusal=r"^● Unknown command: [^\n]*",
        # Ctrl-U takes half a line; a folded paste is one character. On an empty box it does nothing, where a Ctrl-C
        # too many would end the program.
        clear="\x15" * 40 + "\x7f",
    ),
    sanitize=SanitizeRules(
        leading_bang=True,
        # `:smile` becomes an emoji, `/name` alone runs what its menu offers.
        trailing_mention="@:/",
        trailing_backslash=True,
        leading_slash=True,
        invisible=INVISIBLE,
        refuse=(r"\A\s*(?:exit|quit|:w?q!?)\s*\Z",),
    ),
    # A dialog takes no Ctrl-C, but Escape, which also ends a turn; Ctrl-C clears the draft that may be put back then.
    exit=ExitRecipe(keys=("\x1b", "\x03", "\x03", "\x04", "\x04"), grace_s=5.0, term_grace_s=5.0),
    # No number stands here: option 3 is "No" in 2.1.197 and "Yes, and switch to auto mode" in 2.1.330. To accept, the
    # number is taken from the row that says "Yes".
    keys=Keys(deny="\x1b", interrupt=("\x1b",)),
    transcript=TRANSCRIPT,
    api_complete=True,
)
