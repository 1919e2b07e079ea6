"""A hundred prompts that an input box could take for something else than text.

`TRAPS` are sent one after the other. Each names its number, so that none can be taken for another, but for those whose
point is to be short. The canary files are what a shell would make of them.
"""

from typing import NamedTuple


class Trap(NamedTuple):
    """One prompt. `refused`: there is nothing in it that could be submitted; `refused_by`: these agents would take it
    for a command that they don't know, or for the one that ends them. What else a version of an agent can't be given as
    text, as codex 0.164.0 a leading `!`, its kind's data say.
    """

    name: str
    text: str
    refused: bool = False
    refused_by: tuple[str, ...] = ()


_LINES = "\n".join(f"line {number} of three hundred; äöü 日本 🎉" for number in range(300))
_CODE = 'def f(x):\n\tif x > 0:\n\t\treturn "a\\tb"\n\treturn None  # the end'
_BIG = "".join(f"{number:06d} is a row of a big paste, as long as a row of a log would be\n" for number in range(2800))

TRAPS = (
    Trap("plain", "a plain prompt"),
    # What some input boxes run as a shell command.
    Trap("bang", "!touch canary-bang"),
    Trap("bang-space", "! touch canary-bang-space"),
    Trap("bang-blank-before", " !touch canary-one-blank"),
    Trap("bang-newline-before", "\n!touch canary-newline"),
    Trap("bang-tab-before", "\t!touch canary-tab"),
    Trap("bang-alone", "!"),
    Trap("bang-bang", "!!"),
    Trap("bang-second-line", "first this\n!touch canary-second-line"),
    Trap("bang-after-control", "\x01!touch canary-control"),
    Trap("bang-zero-width", "\u200b!touch canary-zero-width"),
    Trap("bang-no-break-space", "\u00a0!touch canary-no-break-space"),
    Trap("bang-byte-order-mark", "\ufeff!touch canary-byte-order-mark"),
    Trap("bang-fullwidth", "！touch canary-fullwidth"),
    Trap("dollar-subshell", "$(touch canary-subshell)"),
    Trap("backticks", "`touch canary-backticks`"),
    Trap("semicolon", "; touch canary-semicolon"),
    Trap("fence", "```\n!touch canary-fence\n```"),
    # Mentions: files, skills, agents.
    Trap("at-end", "what about @nothing"),
    Trap("at-alone", "@"),
    Trap("at-start", "@nothing what about it"),
    Trap("at-middle", "what @nothing about it"),
    Trap("at-file", "look at @notes.txt please"),
    Trap("at-file-end", "look at @notes.txt"),
    Trap("at-file-line-end", "look at @notes.txt\nand say what it is"),
    Trap("at-second-line-end", "look here\n@notes"),
    Trap("at-folder", "look at @folder/ please"),
    Trap("at-mail", "write to me@example.org"),
    Trap("at-quoted-end", 'look at @"my notes'),
    Trap("at-bracket-end", "look (@nothing"),
    Trap("dollar-end", "what about $nothing"),
    Trap("dollar-alone", "$"),
    Trap("dollar-price", "that is 5$"),
    Trap("dollar-variable", "print $HOME and $PATH now"),
    Trap("colon-emoji", "I like it :smile"),
    # Commands.
    Trap("slash-unknown", "/unknown-to-all and more", refused_by=("claude", "codex")),
    Trap("slash-after-unknown", "a prompt of its own, after an unknown command"),
    Trap("slash-unknown-alone", "/unknown-to-all", refused_by=("claude", "codex", "opencode")),
    Trap("slash-path", "/etc/nothing/here is a path, what is in it?"),
    Trap("slash-path-alone", "/etc/nothing/here"),
    Trap("slash-path-lines", "/usr/lib/one\n/usr/lib/two\nwhich is bigger?"),
    Trap("slash-alone", "/"),
    Trap("slash-slash", "// a comment"),
    Trap("slash-comment", "/* a comment */"),
    Trap("slash-blank-before", " /unknown-with-blank x"),
    Trap("slash-second-line", "first this\n/unknown-to-all x"),
    Trap("slash-number", "/2 is a half"),
    Trap("hash", "# a heading"),
    Trap("hash-alone", "#"),
    Trap("hash-memory", "#remember the milk"),
    Trap("question-mark", "?"),
    Trap("question-marks", "??"),
    Trap("ampersand", "& a background task"),
    Trap("star", "* a list"),
    Trap("greater", "> a quotation"),
    Trap("percent", "%ls"),
    Trap("tilde", "~/nothing"),
    Trap("minus", "--help"),
    # What would answer a dialog, or leave a program.
    Trap("one", "1"),
    Trap("two", "2"),
    Trap("yes", "y"),
    Trap("no", "n"),
    Trap("yes-word", "yes"),
    Trap("exit", "exit", refused_by=("claude", "opencode")),
    Trap("quit", "quit", refused_by=("claude", "opencode")),
    Trap("vi-quit", ":q!", refused_by=("claude",)),
    # Ends.
    Trap("backslash-end", "a backslash at the end\\"),
    Trap("backslashes-end", "two backslashes at the end\\\\"),
    Trap("backslash-alone", "\\"),
    Trap("backslash-lines", "one \\\ntwo \\\nthree"),
    Trap("blanks-end", "blanks at the end   "),
    Trap("blanks-start", "   blanks at the start"),
    Trap("newline-end", "a newline at the end\n"),
    Trap("newlines-end", "newlines at the end\n\n\n"),
    Trap("newlines-start", "\n\nnewlines at the start"),
    Trap("newlines-middle", "one\n\n\n\ntwo"),
    # Characters that are keys to a terminal.
    Trap("tab", "one\ttwo\t\tthree"),
    Trap("tab-start", "\ttab at the start"),
    Trap("tab-end", "tab at the end\t"),
    Trap("code", _CODE),
    Trap("carriage-return", "one\rtwo\r!touch canary-carriage-return\rthree"),
    Trap("crlf", "one\r\ntwo\r\nthree\r\n"),
    Trap("escape", "one\x1btwo \x1b[A \x1bOP three"),
    Trap("paste-end", "one\x1b[201~\r!touch canary-paste-end\r"),
    Trap("paste-end-split", "one\x1b\x1b[201~[201~two\x1b[20\x1b[201~1~three"),
    Trap("paste-start", "one\x1b[200~two"),
    Trap("paste-end-c1", "one\x9b201~two\x9b200~three"),
    Trap("controls", "one\x03two\x04three\x15four\x0bfive\x7fsix\x00seven\x1aeight"),
    Trap("bell", "\a\a\aone"),
    # Unicode.
    Trap("umlauts", "äöüß éèê ñ — „quoted“ … €"),
    Trap("emoji", "🎉 👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️"),
    Trap("cjk", "日本語のテキスト 中文 한국어"),
    Trap("combining", "e\u0301 n\u0303 Z\u0351\u036b\u0343\u036a\u0302"),
    Trap("right-to-left", "שלום عليكم and \u202eback\u202c again"),
    Trap("zero-width", "one\u200btwo\u200cthree\u200dfour\u2060five\ufeffsix"),
    Trap("separators", "one\u2028two\u2029three\u00a0four\u3000five"),
    Trap("outside-the-plane", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀 \U000e0041 \ue000"),
    # Markup that an agent could take for its own.
    Trap("markup", "<b>bold</b> &amp; <script>alert(1)</script>"),
    Trap("pasted-label", "[Pasted text #1 +3 lines]"),
    Trap("image-label", "[Image #1] what is in it?"),
    # Sizes.
    Trap("300-lines", _LINES),
    Trap("1200-characters", " ".join(f"word{number}" for number in range(170))),
    Trap("long-line", "".join(f"{number}x" for number in range(4000)) + " end"),
    Trap("200-kb", _BIG),
    Trap("after-200-kb", "a short one after the long ones"),
    # Nothing.
    Trap("empty", "", refused=True),
    Trap("blank", " ", refused=True),
    Trap("whitespace", " \t\n \r\n ", refused=True),
    Trap("only-controls", "\x1b\x03\x7f", refused=True),
    Trap("only-paste-marks", "\x1b[200~\x1b[201~", refused=True),
    Trap("no-break-spaces", "\u00a0\u3000\u2003", refused=True),
    Trap("last", "the last of them"),
)  # fmt: skip
