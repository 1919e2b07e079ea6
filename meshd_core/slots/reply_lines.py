"""An agent's answer out of the lines since Enter, where its own records don't have it."""

import re
from collections.abc import Sequence
from functools import reduce


def without_echo(lines: Sequence[str], prompt: str, echo: Sequence[str]) -> str:
    """`lines` without the echo of `prompt`, whose rows bear one of the marks `echo` (patterns), and without what is
    before it: the last rows of the turn before are told some time after they were drawn, so maybe after Enter.
    """
    marks = [re.compile(pattern) for pattern in echo]
    _, rest = _split(lines[_begin(lines, prompt, marks) :], prompt, marks)
    return "\n".join(line for line in rest if not any(mark.search(line) for mark in marks)).strip("\n")


def answered(lines: Sequence[str], prompt: str, echo: Sequence[str]) -> bool:
    """Whether `lines` are the whole echo of `prompt` and then something else: the agent took it and said something."""
    whole, rest = _split(lines, prompt, [re.compile(pattern) for pattern in echo])
    return whole and any(line.strip() for line in rest)


def _begin(lines: Sequence[str], prompt: str, marks: Sequence[re.Pattern[str]]) -> int:
    """Where the prompt's echo begins; 0 if it is not seen."""
    whole = "".join(prompt.split())
    for number, line in enumerate(lines):
        text = _unmarked(line, marks)
        if text and (whole.startswith(text) or text.startswith(whole)) and any(mark.search(line) for mark in marks):
            return number
    return 0


def _unmarked(line: str, marks: Sequence[re.Pattern[str]]) -> str:
    return "".join(reduce(lambda text, mark: mark.sub("", text, 1), marks, line).split())


def _split(lines: Sequence[str], prompt: str, marks: Sequence[re.Pattern[str]]) -> tuple[bool, list[str]]:
    """Whether `lines` begin with all of the prompt's echo, and what follows what of it they begin with."""
    rest = list(lines)
    left = "".join(prompt.split())
    while rest and left:
        # A long prompt's echo goes over many lines, and only its first one bears the mark.
        text = _unmarked(rest[0], marks)
        if not left.startswith(text):
            break
        left = left[len(text) :]
        rest.pop(0)
    return not left, rest
