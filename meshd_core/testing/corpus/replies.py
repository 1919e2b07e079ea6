"""Whole replies: does the transcript hold each of them in one piece, as often as it was said?

Compared by letters and digits alone, so that wrapping, markdown's marks and those of the agents don't matter. Unlike
lines, replies are judged that are longer than a row, or that were drawn again for another size of the terminal.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from meshd_core.testing.corpus.agent_words import EARLIER
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.truth import Truth
from meshd_core.testing.model_plan import SHELL_TOOLS, plan_answer

_SIGNS = re.compile(r"[\W_]+")
_MIN_ROW = 12
"""Letters and digits: a shorter row may be a part of anything."""
_FENCE = re.compile(r"^```.*$", re.MULTILINE)


class ReplyScore(Struct, frozen=True):
    """`said`: replies that were sent whole; those of them that the transcript holds less often; and of those that it
    holds more often, wholly or in part, what it holds again.
    """

    said: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]


def score_replies(truth: Truth, replay: Replay) -> ReplyScore:
    """Score the replies of one replay."""
    tape = "".join(_letters(line.text) for line in replay.lines)
    typed = "\n".join(_letters(prompt.text) for prompt in truth.prompts)
    replies = list(_whole_replies(truth))
    cut = {prompt.reply for prompt in truth.prompts} - {*replies}
    said = "\n".join([typed, *map(_letters, [*replies, *cut, *EARLIER.get(truth.scenario, ())])])

    def more(text: str) -> int:
        return tape.count(_letters(text)) - said.count(_letters(text))

    rows = [line.text for line in replay.lines if len(_letters(line.text)) >= _MIN_ROW and more(line.text) > 0]
    missing = [reply for reply in dict.fromkeys(replies) for _ in range(-more(reply))]
    doubled = []
    for reply in dict.fromkeys(replies):
        again = [row for row in rows if _letters(row) in _letters(reply)]
        doubled += [reply] * more(reply) or again[:1]
    return ReplyScore(len(replies), tuple(missing), tuple(doubled))


def _whole_replies(truth: Truth) -> Iterator[str]:
    """Each reply once, though it may have answered several prompts; without those that were cut."""
    seen: set[float] = set()
    for prompt in truth.prompts:
        if prompt.last_byte is None or prompt.last_byte in seen or not _letters(prompt.reply):
            continue
        seen.add(prompt.last_byte)
        planned = plan_answer(prompt.text, SHELL_TOOLS, None).text
        if prompt.reply == planned or not planned.startswith(prompt.reply):
            yield prompt.reply


def _letters(text: str) -> str:
    return _SIGNS.sub("", _FENCE.sub("", text))
