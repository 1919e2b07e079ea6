"""What OpenCode looks like and how it is typed into. Measured with 1.18.33 and 1.18.29.

The screen is only the fallback: state comes from the HTTP API. It looks ready even with no provider configured.
"""

from meshd_core.api import ExitRecipe, Keys, KindProfile, Rule, SanitizeRules, SubmitRecipe, TranscriptRules

# It tries again after a server's errors, too, and tells no status: what the provider said must do.
LIMIT = r"(?:\b429\b|(?i:rate.?limit|too many requests|quota|usage))"

RULES = (
    # Neither question nor options: the API knows the exact command, and its words are to be shown.
    Rule("opencode-approval", "waiting", r"^ *┃ *△ Permission required", dialog="approval", last_rows=20),
    Rule(
        # /models, /sessions, /help and their like stand over the input box, and the API knows nothing of them.
        "opencode-menu",
        "waiting",
        r"^ {10,}(\w[^\n]{0,40}?) {8,}esc(?:/enter)?\n *\n",
        override=True,
        dialog="menu",
    ),
    Rule(
        "opencode-retry",
        "limited",
        rf"^[^\n]*{LIMIT}[^\n]*\[retrying (?:in )?"
        r"(?:(?P<hours>\d+)h *)?(?:(?P<minutes>\d+)m *)?(?:(?P<seconds>\d+)s)?[^\]\n]*attempt #\d+\]",
        last_rows=3,
    ),
    Rule("opencode-busy", "busy", r"\besc (?:again to )?interrupt\b", last_rows=3),
    Rule("opencode-idle", "idle", r"^ *╹▀{20}[^\n]*\n[^\n]*(?:ctrl\+p commands|esc exit shell mode)", confidence=0.6),
)

TRANSCRIPT = TranscriptRules(
    live=(
        # At the left edge in a conversation, in the middle of the home screen.
        r"^ *┃ *\n(?: *┃[^\n]*\n){1,30}? *╹▀+",
        r"^ *┃ *\n? *┃? *△ Permission required",
    ),
    drop=(r"^ *▣ ",),
    # The last one is a notice, drawn for some seconds over the right end of rows.
    strip=(r"^ {2}┃ {0,2}", r"^ {5}", r" {3,}┃ [^┃\n]* ┃$"),
    echo=(r"^ {2}┃ {2}", r"^› "),
    # On more than 120 columns; its last row.
    panel=(r"(• OpenCode \d[^\n]*)\s*\Z",),
)

PROFILE = KindProfile(
    name="opencode",
    title="OpenCode",
    measured=("1.18.33", "1.18.29"),
    commands=("opencode",),
    install_hint="install OpenCode: npm install -g opencode-ai",
    output="screen",
    proves="completed",
    rules=RULES,
    submit=SubmitRecipe(
        paste="bracketed",
        settle_s=1.0,
        # The first prompt after the start waits for OpenCode's own plugins: 1.5 s were seen on an idle machine.
        confirm_s=8.0,
        second_enter=True,
        input_box=r"^ *┃ *\n((?:^ *┃[^\n]*\n){1,41}?) *╹▀{20}",
        # Agent and model below (`Shell` is a mode that runs what is typed), the frame, the placeholder, and what a wide
        # screen shows to the right: far from the frame, or from words. A draft may be indented, and have blanks in it.
        input_noise=r"^ *┃ +(?!Shell\b)\S[^\n]*\n\Z|^ *┃ +Ask anything(?:…|\.\.\.) \"[^\n]*|^ *┃"
        r"|(?<=[^\n┃]{62} {8})\S[^\n]*$|(?<=[^\s┃]) {24,}\S[^\n]*$",
        sees_drafts=True,
        clear="\x15" * 40 + "\x7f",
    ),
    # A blank after `/name` makes text of a command.
    sanitize=SanitizeRules(trailing_mention="@", leading_slash=True, refuse=(r"\A\s*(?:exit|quit|:q)\s*\Z",)),
    # Ctrl-C clears a draft, closes a dialog, and ends the program if there is neither.
    exit=ExitRecipe(keys=("\x03", "\x03", "\x03"), grace_s=5.0, term_grace_s=5.0),
    # No key accepts: Enter takes the option that is marked, which may be "Allow always". The API accepts.
    keys=Keys(deny="\x1b", interrupt=("\x1b", "\x1b")),
    transcript=TRANSCRIPT,
    api_complete=True,
)
