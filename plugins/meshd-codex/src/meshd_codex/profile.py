"""What Codex looks like and how it is typed into. Measured with 0.169.0.

It sends status signals unasked: `idle`, `working`, `blocked` at an approval, `done` after a turn and `error` after a
failed one, both followed by `idle` some seconds later. On the trust and login screens, and in its menus, it sends none.
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
    Variant,
)

# Dialogs stand in the place of the input box, at the very end of the screen: text above can't look like one.
# Whether it is the last row is asked first: a screen full of hints would cost the square of its width for each row.
# The list of sessions has a second row of hints; that of shortcuts, which stands above the input box, is no menu.
_HINT = (
    r"(?=[^\n]*+(?:\n \^o [^\n]*+)?\s*+\Z)(?! *\? / esc)"
    r"[^\n]*\besc (?:to )?(?:save/)?(?:back|close|cancel|exit|go back|dismiss)\b[^\n]*(?:\n \^o [^\n]*)?\s*\Z"
)
_PAGER = r"^─{40}[^\n]*─\n [^\n]*to scroll[^\n]*\n(?P<options> [^\n]*\bq close)\s*\Z"
_STATUS = r"^[•◦] [^\n]*\([^)\n]*\besc to interrupt\)"

RULES = (
    Rule(
        "codex-trust", "onboarding",
        r"^ *(Trust this folder\?)[^\n]*\n(?:[^\n]*\n){1,12}? *enter continue[^\n]*\s*\Z",
        override=True, dialog="trust", option_pattern=r"^(?P<default>›)? *\d\. (?P<label>[^\n]+)$",
        advice="decide with `meshd attach` whether Codex may work in this folder",
    ),
    Rule(
        "codex-login", "onboarding",
        r"^ *(Choose how you want to use Codex\.|Sign in with ChatGPT[^\n]*)\n"
        r"(?:[^\n]*\n){1,20}? *[Pp]ress enter to continue\s*\Z",
        override=True, dialog="login",
        advice="sign in with `meshd attach`, or with `codex login` for the slot's CODEX_HOME, and start it again",
    ),
    Rule(
        "codex-approval", "waiting",
        r"^ *(Would you like to [^\n]+\?)\n(?:(?:(?! *\$ )[^\n]*\n){0,12} *\$ (?P<command>[^\n]+)\n(?= *\n))?"
        # The last row of that look is the option; one before it is drawn by the command.
        r"(?:[^\n]*\n){0,200}(?P<options>[› ] 1\. Yes, proceed \(y\))\n(?:[^\n]*\n){1,12}?" + _HINT,
        override=True, dialog="approval",
        options=(
            DialogOption("accept", "Yes, proceed"),
            DialogOption("deny", "No, and tell Codex what to do differently"),
        ),
        option_pattern=r"^(?P<default>›)? *\d\. (?P<label>[^\n]+?)(?: \((?:(?P<key>[a-z])|\w+)\))?$",
    ),
    Rule(
        # The options from the marked row on, whose paragraph is the last one before the hints. Above may stand prompts,
        # which look like one.
        "codex-menu", "waiting",
        rf"\A(?=[\s\S]*^{_HINT})[\s\S]*?(?:(?P<options>^› [^\n]*\n)(?:(?! *$)[ ↑↓][^\n]*\n){{0,40}}(?: *\n)*)?^{_HINT}",
        override=True, dialog="menu",
    ),
    Rule(
        "codex-pager", "waiting", _PAGER,
        override=True, dialog="menu", options=(DialogOption("close", "close"),),
        option_pattern=r"^[^\n]*\b(?P<key>q) (?P<label>close) *$",
        advice="close what it shows (a diff, a transcript): answer `close`, or press q",
    ),
    # While it tries again. Once it has given up, the turn is over and the agent idle.
    Rule("codex-rate-limit", "limited", rf"{_STATUS}\n +└ [^\n]*\b429\b", override=True, last_rows=14),
    Rule("codex-busy", "busy", _STATUS, last_rows=14),
    # With `!` in the place of `›` it is a shell mode that was left on.
    Rule("codex-idle", "idle", r"^(?:› (?!\d+\. )|!)[^\n]*\n(?:(?:  [^\n]*)?\n){0,12}  [^\n]* · [^\n]*",
         confidence=0.6),
)  # fmt: skip

TRANSCRIPT = TranscriptRules(
    live=(
        r"^›(?! \d+\. )[^\n]*\n(?:(?![•◦›■✔✗⚠])[^\n]*\n){0,60}[^\n]*\Z",
        _STATUS,
        r"^ *Would you like to [^\n]+\?\n(?:[^\n]*\n){1,200}?[› ] 1\. ",
        # Menus and lists, below two empty rows or at the top; the pager has the whole screen.
        rf"^(?:(?<=\n\n\n)  |(?<![\s\S])  ?)\S[^\n]*\n(?:(?![•◦■✔✗⚠])[^\n]*\n){{1,200}}?{_HINT}",
        rf"\A[\s\S]*?{_PAGER}",
        r"^(?: *Folder access\n(?:[^\n]*\n){1,3}?)? *Trust this folder\?[^\n]*\n(?:[^\n]*\n){1,12}? *enter continue",
        r"^ *Welcome to Codex[^\n]*\n(?:[^\n]*\n){0,3}? *(?:Choose how you want|Sign in with)",
    ),
    drop=(
        r"^ +>_ OpenAI Codex \(v",
        r"^ {5}(?:~|/)[^\s]*$",
        r"^ {5}loading$",
        r"^ +Resuming session…$",
        r"^ {2}Worked for (?:<1s|\d+[hms])",
        r"^ +└ Tip: ",
        r"^[•◦] (?:Running|Working|Reconnecting|Server is busy)\b",
    ),
    echo=(r"^› ",),
)

PROFILE = KindProfile(
    name="codex",
    title="Codex",
    measured=("0.169.0",),
    commands=("codex",),
    install_hint="install Codex: npm install -g @openai/codex",
    output="screen",
    proves="completed",
    signals=True,
    rules=RULES,
    submit=SubmitRecipe(
        paste="bracketed",
        settle_s=0.5,
        # Enter in the same write as the text is swallowed, 30 ms after it never was.
        min_settle_s=0.06,
        confirm_s=4.0,
        second_enter=True,
        # What is tried at each row gives nothing back, as in `_HINT`.
        input_box=r"^(?:›|(?=!))(.?(?:(?!^[›!]).)*?)\n *\n  (?=[^\n]* · )[^\n]*+(?:\n[^\n]*+)?+\s*+\Z",
        sees_drafts=True,
        refusal=r"^• Unrecognized command [^\n]*",
        # Ctrl-U and Ctrl-K take what stands before and behind the cursor, which is at the beginning where Codex puts an
        # unknown command back; a folded paste is one character; on an empty box both do nothing.
        clear="\x15" * 40 + "\x0b" * 40 + "\x7f",
    ),
    # Blanks before a `!` make it plain only where the version is known to keep them: 0.164.0 trims a prompt before it
    # looks for the `!` of a shell command, and runs that unasked.
    sanitize=SanitizeRules(trailing_mention="@$/", leading_slash=True, refuse=(r"\A\s*!",)),
    variants=(
        Variant(
            ">=0.169,<0.172", sanitize=SanitizeRules(leading_bang=True, trailing_mention="@$/", leading_slash=True)
        ),
    ),
    # Ctrl-C interrupts a turn, clears a draft, and ends the program if there is neither; one too many would kill the
    # wrapper while the program ends. Ctrl-D ends it at an empty box.
    exit=ExitRecipe(keys=("\x03", "\x04", "\x04"), grace_s=6.0, term_grace_s=5.0),
    # To accept, the letter that the dialog itself names: numbers move from version to version.
    keys=Keys(deny="\x1b", interrupt=("\x1b",)),
    transcript=TRANSCRIPT,
    # It signals work for up to 0.1 s while it starts, until 0.3 s after its first idleness.
    first_idle_s=0.5,
    api_complete=True,
)
