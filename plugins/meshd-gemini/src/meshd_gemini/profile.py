"""What Gemini CLI looks like and how it is typed into. Measured with 0.61.0, with and without true colour.

The window title tells the state, but `◇  Ready` stands there on the trust and login screens too, on an empty screen at
the start, and while a session is loaded: what is typed then is lost. There the screen decides. After a 429 it tries
again for minutes, and neither title nor screen nor log says so.
"""

from meshd_core.api import (
    DialogOption,
    ExitRecipe,
    Keys,
    KindProfile,
    Rule,
    SanitizeRules,
    SubmitRecipe,
    TranscriptRules,
)

# A rule, a row of hints, the box: framed by half blocks where the terminal has true colour, else by empty rows. An
# echoed prompt is framed as well, but without the rule above it.
_FRAME = r"^─{20}[^\n]*\n(?: [^\n]*\n)?(?:▄{20}[^\n]*|)\n"
_BOX = _FRAME + " [>!*]"
_STATUS = r"(?: [\u2800-\u28ff] [^\n]*|[^\n]*\? for shortcuts) *"
# Dialogs stand in frames, and the rule and the box are away meanwhile.
_NO_BOX = rf"\A(?![\s\S]*{_BOX})[\s\S]*?"
_OPTION = r"^ ?│ +(?P<default>●)? *(?P<key>\d)\. (?P<label>[^\n│]+?)(?: \(esc\))? *│$"
_FOOT = r"(?: ?│[^\n]*\n){0,200}? ?╰─{20}[^\n]*\s*(?: Gemini CLI is restarting to apply [^\n]*\s*)?\Z"
# A row that only menus have, and what is below it, to the end of the screen. What is tried at each row gives nothing
# back: a row full of hints would cost the square of its width for each row.
_MENU = rf" ?│(?: +●? ?\d+\. |(?>[^\n]*?\bEsc to\b))[^\n]*\n{_FOOT}"

RULES = (
    Rule(
        "gemini-trust", "onboarding", _NO_BOX + r"^ ?│ +(Do you trust the files in this folder\?)",
        override=True, dialog="trust", option_pattern=_OPTION,
        advice="decide with `meshd attach` whether Gemini CLI may work in this folder; it may start anew then",
    ),
    Rule(
        "gemini-auth", "onboarding",
        _NO_BOX + r"^ ?│ +(How would you like to authenticate[^\n│]*\?|Enter Gemini API Key)|"
        r"^ ?│? *[\u2800-\u28ff] (Waiting for authentication)",
        override=True, dialog="login", option_pattern=_OPTION,
        advice="choose how to log in with `meshd attach`, or give the slot a GEMINI_API_KEY in `env` and start it",
    ),
    Rule(
        "gemini-approval", "waiting",
        _NO_BOX + r"(?:^│ │ (?P<command>[^\n]*?) *│ │\n│ ╰─[^\n]*\n)?(?:│ *│\n)*"
        r"^│ ((?:Allow|Apply|Do you want)\b[^\n│]*\?) *│\n(?:│[^\n]*\n){0,8}?│ [● ] 1\. Allow once",
        override=True, dialog="approval",
        options=(DialogOption("accept", "Allow once"), DialogOption("deny", "No, suggest changes")),
        option_pattern=_OPTION,
    ),
    Rule(
        # Of one that is taller than the screen, the frame's top is not there.
        "gemini-menu", "waiting",
        _NO_BOX + rf"(?:(?P<options>^ ?╭─{{20}}[^\n]*\n)|(?<![\s\S])(?= ?│))(?: ?│[^\n]*\n){{0,200}}?{_MENU}",
        override=True, dialog="menu",
    ),
    # /resume: letters sort and delete there.
    Rule(
        "gemini-sessions", "waiting",
        _NO_BOX + r"^ (?:(Chat Sessions) \(\d+ total\)[^\n]*\n[^\n]*\bQuit: q\b|Press q to exit\s*\Z)",
        override=True, dialog="menu",
    ),
    # Not idle yet, whatever the title says: nothing at all, a session on its way, the box alone. That it draws at the
    # top after some resizes as well, over what stood there.
    Rule(
        "gemini-loading", "unknown", r"\A\s*\Z|^ ?[\u2800-\u28ff] (?:Resuming|Loading) session",
        override=True, confidence=0.0,
    ),
    Rule(
        "gemini-starting", "unknown", rf"\A\s*(?:{_STATUS}\n)?{_BOX} {{2,}}Type your message",
        override=True, at_start=True, confidence=0.0,
    ),
    Rule("gemini-title-asks", "waiting", r"^✋", where="title", confidence=0.9),
    Rule("gemini-title-working", "busy", r"^[✦⏲]", where="title", confidence=0.9),
    Rule("gemini-title-ready", "idle", r"^◇  Ready", where="title", confidence=0.9),
    Rule("gemini-busy", "busy", r"\(esc to cancel, (?:\d+m )?\d+s\)", last_rows=14),
    Rule("gemini-idle", "idle", _BOX, confidence=0.6),
)  # fmt: skip

TRANSCRIPT = TranscriptRules(
    live=(
        rf"^{_STATUS}\n─{{20}}",
        _BOX,
        # Not one that a resize left above the answer, which is drawn again below it.
        r"^ [\u2800-\u28ff] [^\n]*\(esc to cancel(?!(?:[^\n]*\n)+✦ )",
        r"^  Queued \(press ↑ to edit\):\n",
        rf"(?:^ ?╭─{{20}}[^\n]*\n|(?<![\s\S])(?= ?│))(?: ?│[^\n]*\n){{0,200}}?{_MENU}",
        rf"^ Chat Sessions \(\d+ total\)[^\n]*\n[^\n]*\bQuit: q\b(?![\s\S]*{_BOX})",
        r"^ \S[^\n]*\n Press q to exit\s*\Z",
    ),
    drop=(
        r"^ ?[▄▀─]{20,}$",
        r"^ ?[╭╰]─{20,}[╮╯]$",
        r"^[▝▜▄▗▟▀█▛▙▌▐▘▖ ]+(?: +Gemini CLI v[\d.]+| +Authenticated with [^\n]*)?$",
        r"^ Gemini CLI v[\d.]+$",
        r"^│ [?⊷o] ",
        r"^ ?│ +│$",
        r"^ Press (?:Ctrl\+|Esc )[^\n]*$",
        r"^⚠  Warning: True color",
        r"^Tips for getting started:$",
        r"^1\. Create GEMINI\.md files to customize your interactions$",
        r"^2\. /help for more information$",
        r"^3\. Ask coding questions, edit code or run commands$",
        r"^4\. Be specific for the best results$",
        r"^ℹ Initializing\.\.\. Prompts will be queued\.$",
        # What a smaller terminal pushes up, cut in two.
        r"^ [\u2800-\u28ff] [^\n]*\(esc to cancel, (?:\d+m )?\d+s\)",
        r"^ +\? for shortcuts$",
        r"^ Shift\+Tab to accept edits$",
    ),
    strip=(r"^│ (?=[✓x✗-] )", r" *│$"),
    echo=(r"^ > ",),
)

PROFILE = KindProfile(
    name="gemini",
    title="Gemini CLI",
    measured=("0.61.0",),
    commands=("gemini",),
    install_hint="install Gemini CLI: npm install -g @google/gemini-cli",
    output="screen",
    proves="completed",
    # After --resume the box of an empty conversation looks idle before "Resuming session...": for 0.01 s at rest, for
    # 0.3 to 0.5 s in nine resumes at a machine load of 10 to 20, for 0.74 s at most (corpus, 0.58.0). This is twice as
    # long. After a fresh start none of 43 recordings took its first idleness back, and keys up to 0.3 s before it were
    # taken: there it is needless, but a profile has one number.
    first_idle_s=1.5,
    rules=RULES,
    submit=SubmitRecipe(
        paste="bracketed",
        settle_s=0.6,
        # Enter 50 ms after the text was swallowed on a busy machine, after 100 ms it was not.
        min_settle_s=0.2,
        confirm_s=4.0,
        second_enter=True,
        input_box=_FRAME + r" [>*]?((?:(?!▀{20}| workspace)[^\n]*\n){1,30})",
        input_noise=r"^ {3}Type your message or @path/to/file *$",
        sees_drafts=True,
        # Ctrl-U takes half a line, Backspace the break before it; a folded paste goes at once; Escape leaves the
        # shell's mode. Ctrl-C on an empty box would be half of an exit.
        clear="\x15\x7f" * 40 + "\x1b",
    ),
    sanitize=SanitizeRules(
        leading_bang=True,
        trailing_mention="@/",
        trailing_backslash=True,
        leading_slash=True,
        invisible="\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff",
    ),
    # Ctrl-C stops a turn, clears a draft, and twice within 3 s ends the program if there is neither. One more while it
    # ends lets it spin for good, deaf to SIGTERM (measured on its trust screen, 5 of 6). After the second it is gone in
    # 0.25 s, in 0.4 s beside six busy programs for each processor, in 1.9 s with a thirteenth of one: the pause is
    # longer, and the two are still within those 3 s.
    exit=ExitRecipe(keys=("\x03", "\x03", "\x03"), pause_s=2.0, grace_s=5.0, term_grace_s=5.0),
    # To accept, the number of the row that says "Allow once".
    keys=Keys(deny="\x1b", interrupt=("\x1b",)),
    transcript=TRANSCRIPT,
)
