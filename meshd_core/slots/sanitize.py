"""Making a prompt safe to type.

A terminal knows no difference between text and keys: an ESC could close the paste, a CR could submit half of it, and
some agents run a line that begins with `!` as a shell command without asking. Whatever is changed is named in the
receipt's `changes`.
"""

import re

from meshd_core.contracts.kinds import SanitizeRules
from meshd_core.unseen import INVISIBLE

PASTE_START = "\x1b[200~"
PASTE_END = "\x1b[201~"

# C0 but TAB and LF, DEL, C1: none of them is text, each of them can be a key or start a sequence.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PASTE_MARK = re.compile("(?:\x1b\\[|\x9b)20[01]~")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Joiners and selectors are part of the emoji before them.
_JOINS = r"[\u200d\ufe0e\ufe0f]"
_IN_EMOJI = rf"(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]){_JOINS}"
_BANG = re.compile(rf"[\s{INVISIBLE}]*!")
_COMMAND = re.compile(r"/[A-Za-z][^\s/]*(?:\s|\Z)")


def sanitize(text: str, rules: SanitizeRules) -> tuple[str, tuple[str, ...]]:
    """`text` as it may be typed, and the names of the changes made, in order."""
    changes: list[str] = []

    def change(new: str, name: str) -> str:
        if new != text:
            changes.append(name)
        return new

    text = change(_SURROGATES.sub("\ufffd", text), "invalid_unicode_replaced")
    text = change(_PASTE_MARK.sub("", text), "paste_marks_removed")
    text = change(text.replace("\r\n", "\n").replace("\r", "\n"), "carriage_returns_to_newlines")
    text = change(_CONTROLS.sub("", text), "control_characters_removed")
    if rules.newlines == "space":
        text = change(re.sub("\n+", " ", text.rstrip("\n")), "newlines_to_spaces")
    if rules.invisible:
        text = change(re.sub(rf"(?!{_IN_EMOJI})[{rules.invisible}]", "", text), "invisible_characters_removed")
    if rules.leading_bang and _BANG.match(text):
        # Measured: two leading spaces make `!command` plain text for claude and codex, one does not.
        text = change("  " + text.lstrip(), "leading_bang_neutralised")
    if rules.leading_slash and text.startswith("/") and not _COMMAND.match(text):
        text = change(" " + text, "leading_slash_neutralised")
    if rules.trailing_mention and _ends_in_mention(text, rules.trailing_mention):
        text = change(text + " ", "trailing_mention_closed")
    if rules.trailing_backslash and text.endswith("\\"):
        text = change(text + " ", "trailing_backslash_closed")
    return text, tuple(changes)


def refused(text: str, rules: SanitizeRules) -> str | None:
    """The pattern by which `text` may not be typed at all; None: it may."""
    return next((pattern for pattern in rules.refuse if re.search(pattern, text)), None)


def _ends_in_mention(text: str, marks: str) -> bool:
    words = text.split(" ")[-1].split("\n")[-1].split("\t")[-1]
    return bool(words) and words[0] in marks
