"""An agent's answer out of the lines since Enter, where its own records don't have it."""

import re
from collections.abc import Sequence
from functools import reduce


def without_echo(lines: Sequence[str], prompt: str, echo: Sequence[str]) -> str:
    """`lines` without the echo of `prompt`, whose rows bear one of the marks `echo` (patterns)."""
    marks = [re.compile(pattern) for pattern in echo]
    rest = list(lines)
    left = "".join(prompt.split())
    while rest and left:
        # A long prompt's echo goes over many lines, and only its first one bears the mark.
        text = "".join(reduce(lambda line, mark: mark.sub("", line, 1), marks, rest[0]).split())
        if not left.startswith(text):
            break
        left = left[len(text) :]
        rest.pop(0)
    return "\n".join(line for line in rest if not any(mark.search(line) for mark in marks)).strip("\n")
