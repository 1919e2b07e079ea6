"""What agents say themselves that belongs into a transcript: tool calls and results, errors, notices. By eye.

Patterns over a line. Kept apart from the kinds' rules on purpose, as `scripts`: the corpus judges those.
"""

OWN_WORDS: dict[str, tuple[str, ...]] = {
    "claude": (
        r"^● \w+\(.+\)$",
        r"^ +⎿ +(?:Done|\(No |Interrupted ·|Error\b|API Error)",
        r"^● API Error",
        # Printed before it ends, without a network at its first run.
        r"^ ?(?:Welcome to Claude Code v|Unable to connect to Anthropic|Failed to connect to)",
        r"^ (?:Please check|Check) your internet connection",
        r"^ (?:(?:Note: )?Claude Code might not be available|https://anthropic.com/supported-countries)",
        r"^Resume this session with:|^claude --resume ",
    ),
    "codex": (
        r"^• (?:Ran|Exited) ",
        r"^ +└ ",
        r"^■ ",
        r"^[✔✗] You ",
        r"^Session ID: |^To continue this session, run codex resume",
        r"^Token usage: ",
        # Printed before it draws anything.
        r"^WARNING: ",
    ),
    "gemini": (
        r"^[✓✗x✕-] ",
        r"^ℹ (?:Request cancelled|This request failed|Skipping project agents)",
        r"^ +details\.$",
        r"^ +\d+ print\('hi'\)$",
        r"^ > /quit$",
        # Printed before it ends.
        r"^Gemini CLI is restarting to apply the trust changes",
        r"^│ +(?:Agent powering down|Interaction Summary|Session ID:|Tool Calls:|Success Rate:|Performance|Wall Time:)",
        r"^│ +(?:Agent Active:|» (?:API|Tool) Time:|To resume this session:)",
    ),
    "opencode": (r"^ *(?:\$|#|~|→|←|✱|•) ", r"^ *the fake model answers \d+$"),
    "pi": (r"^ *\$ ", r"^ *(?:Operation aborted|Aborted after |Took \d)"),
}
AGAIN: dict[str, tuple[str, ...]] = {"pi": (r"^ *Error: ",)}
"""Likewise what they say as often as it happens, with one prompt: each try that failed."""
EARLIER: dict[str, tuple[str, ...]] = {"resume": ("remember the kiwi", "You said: remember the kiwi")}
"""By scenario: what was said in an earlier run, and is shown once more."""
