"""What comes from the terminal of an attached person: keys, and what that terminal says by itself.

The agent's queries are answered by the slot's own terminal, once, whoever watches. The terminal of a person who is
attached sees the same queries and answers them, too; a second answer is nothing but keys to an agent.
"""

import re

MAX_HELD_BYTES = 1024

_ANSWERS = re.compile(
    rb"""
      \x1b\[[?>=][0-9;]*c              # device attributes
    | \x1b\[\?[0-9]*u                  # kitty's keyboard flags
    | \x1b\[(?!1;[0-9]{1,2}R)\??[0-9]+;[0-9;]+R  # the cursor's place; `CSI 1;2R` is a modified F3
    | \x1b\[\??[0-9;]+\$y              # a mode
    | \x1b\[(?!\?997;)\??[0-9;]*n      # the device's status
    | \x1b\[(?:4|6|8|48);[0-9;]+t      # sizes
    | \x1b\][0-9]+;[^\x07\x1b]*(?:\x07|\x1b\\)   # colours, titles, the clipboard
    | \x1bP[0-9>!][^\x1b]*\x1b\\       # settings, the version
    | \x1b_G[^\x1b]*\x1b\\             # graphics
    """,
    re.VERBOSE,
)
_BEGUN = re.compile(
    rb"""
    (?: \x1b\[[?>=][0-9;]*\$?
      | \x1b\][0-9]+ (?: ;[^\x07\x1b]*\x1b? )?
      | \x1bP[0-9>!][^\x1b]*\x1b?
      | \x1b_G[^\x1b]*\x1b?
    )\Z
    """,
    re.VERBOSE,
)
_UNTYPED = re.compile(rb"\x1b\[[IO]|\x1b\[<[0-9;]+[Mm]|\x1b\[M[\s\S]{3}|\x1b\[\?997;[0-9]+n")
"""Focus, mouse and colour scheme reports: they go to the agent, but nobody typed them."""


class TerminalInput:
    """One attached terminal's input, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._held = b""

    def keys(self, data: bytes) -> bytes:
        """`data` without the terminal's answers to queries. The beginning of one is held back until it is whole."""
        data, self._held = self._held + data, b""
        data = _ANSWERS.sub(b"", data)
        begun = _BEGUN.search(data)
        if begun is not None and len(begun.group()) <= MAX_HELD_BYTES:
            self._held = begun.group()
            data = data[: begun.start()]
        return data


def typed(keys: bytes) -> bool:
    """Whether a person pressed keys, as opposed to moved the mouse or looked elsewhere."""
    return bool(_UNTYPED.sub(b"", keys))
