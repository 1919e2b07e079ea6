"""Scores of clean lines: is all there that the model said, once, soon, and nothing that nobody said?

Lines are compared without spaces and without the marks that agents put before them, so that wrapping and indenting
don't matter.
"""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from meshd_core.testing.corpus.agent_words import AGAIN, EARLIER, OWN_WORDS
from meshd_core.testing.corpus.on_screen import compact
from meshd_core.testing.corpus.replay import Emitted, Replay
from meshd_core.testing.corpus.truth import Truth
from meshd_core.testing.model_plan import SHELL_TOOLS, plan_answer

_MARKS = re.compile(r"^[\W_]+|[\W_]+$")
_MARKUP = re.compile(r"[*`#_]|^\s*(?:[-+]|\d+\.) ", re.MULTILINE)


class LineScore(Struct, frozen=True):
    """`emitted` counts lines that aren't empty; `delays` go from a line's being whole on the screen to its emission."""

    expected: int
    missing: tuple[tuple[float | None, str], ...]
    emitted: int
    noise: tuple[Emitted, ...]
    doubled: tuple[Emitted, ...]
    delays: tuple[float, ...]


def score_lines(truth: Truth, replay: Replay) -> LineScore:
    """Score the lines of one replay."""
    lines = [line for line in replay.lines if line.text.strip()]
    found = _found_in_order(truth.lines, lines)
    typed = compact("\n".join(prompt.text for prompt in truth.prompts))
    missing = [(shown, text) for text, at, shown in zip(truth.lines, found, replay.shown, strict=True) if at is None]
    delays = [
        max(0.0, at - shown)
        for text, at, shown in zip(truth.lines, found, replay.shown, strict=True)
        # What was typed stands on the screen before the model repeats it.
        if at is not None and shown is not None and compact(text) not in typed
    ]
    doubled = _doubled(truth.lines, lines, typed)
    noise = _noise(truth, [line for line in lines if line not in doubled], typed)
    return LineScore(len(truth.lines), tuple(missing), len(lines), tuple(noise), tuple(doubled), tuple(delays))


def _found_in_order(expected: Sequence[str], lines: Sequence[Emitted]) -> list[float | None]:
    """When each of `expected` had been emitted whole, searched in order; None: never."""
    tape = "".join(compact(line.text) for line in lines)
    ends: list[int] = []
    for line in lines:
        ends.append((ends[-1] if ends else 0) + len(compact(line.text)))
    found: list[float | None] = []
    position = 0
    for text in expected:
        wanted = compact(text)
        start = tape.find(wanted, position)
        if start < 0:
            found.append(None)
            continue
        position = start + len(wanted)
        found.append(next(line.at for line, end in zip(lines, ends, strict=True) if end >= position))
    return found


def _doubled(expected: Sequence[str], lines: Sequence[Emitted], typed: str) -> list[Emitted]:
    """Emitted lines that hold a line of the model's that was emitted as often as it was said and typed before."""
    said = "\n".join(compact(text) for text in expected)
    left = Counter({text: said.count(text) + typed.count(text) for text in map(compact, expected)})
    doubled = []
    for line in lines:
        whole = _MARKS.sub("", compact(line.text))
        held = [text for text in left if _MARKS.sub("", text) == whole]
        if held and left[held[0]] < 1:
            doubled.append(line)
        left.subtract(held[:1])
    return doubled


def _noise(truth: Truth, lines: Sequence[Emitted], typed: str) -> list[Emitted]:
    """Lines that nobody said: neither the model nor the person nor, once for each prompt, the agent itself."""
    # What was on its way when the turn was cut is in no reply, but on the screen.
    planned = [plan_answer(prompt.text, SHELL_TOOLS, None).text for prompt in truth.prompts]
    replies = "\n".join([*(prompt.reply for prompt in truth.prompts), *planned])
    texts = [*truth.lines, replies, _MARKUP.sub("", replies), *EARLIER.get(truth.scenario, ())]
    known = "\n".join([typed, *map(compact, texts)])
    again = [re.compile(pattern) for pattern in AGAIN.get(truth.cli, ())]
    own = [re.compile(pattern) for pattern in OWN_WORDS.get(truth.cli, ())]
    times: Counter[str] = Counter()
    noise = []
    for line in lines:
        whole = compact(line.text)
        if (_MARKS.sub("", whole) or whole) in known or any(pattern.search(line.text) for pattern in again):
            continue
        times[line.text] += 1
        if times[line.text] > max(1, len(truth.prompts)) or not any(pattern.search(line.text) for pattern in own):
            noise.append(line)
    return noise
