"""An answer that says again what an earlier one said: its rows are new, whatever they look like."""

import itertools

import pytest

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.missed_rows import Unseen
from meshd_core.terminal.transcript import Transcript

ROWS = 12
RULES = TranscriptRules(live=(r"^>",), echo=(r"^› ",))
FIRST = [f"line {n} of an answer" for n in range(30)]
SECOND = [*FIRST, "and what is more", "the end"]


class Played:
    def __init__(self) -> None:
        self.emulator = Emulator(ROWS, 60)
        ticks = itertools.count()
        self.transcript = Transcript(self.emulator, RULES, lambda: float(next(ticks)))
        self.transcript.mark_unseen()
        self.lines: list[str] = []

    def feed(self, text: str) -> None:
        self.lines += self.transcript.feed(text.encode())
        for _ in range(3):
            self.lines += self.transcript.tick()

    def told(self) -> list[str]:
        self.emulator.close()
        return [line for line in self.lines if line or isinstance(line, Unseen)]


@pytest.fixture
def played() -> Played:
    return Played()


def frame(rows: list[str]) -> str:
    """The end of `rows` and an input box, on the whole screen."""
    shown = [*rows[1 - ROWS :], "> "]
    return "\x1b[?2026h" + "".join(f"\x1b[{y}H{row}\x1b[K" for y, row in enumerate(shown, 1)) + "\x1b[J\x1b[?2026l"


def test_rows_below_a_prompt_that_went_by_are_not_those_above_it(played: Played) -> None:
    played.feed("\x1b[?1049h" + frame(FIRST))
    played.feed(frame([*FIRST, "› again"]))
    played.feed(frame([*FIRST, "› again", *SECOND]))
    told = played.told()
    assert [*told[:12]] == [*FIRST[1 - ROWS :], "› again"]
    assert isinstance(told[12], Unseen)
    assert told[12].lost
    assert told[13:] == SECOND[1 - ROWS :]


def test_rows_that_lead_past_a_prompt_are_where_they_were(played: Played) -> None:
    said = [*FIRST, "› again"]
    played.feed("\x1b[?1049h" + frame(FIRST))
    for count in range(len(SECOND) + 1):
        played.feed(frame([*said, *SECOND[:count]]))
    assert played.told() == [*FIRST[1 - ROWS :], "› again", *SECOND]


@pytest.mark.parametrize("prompt", ["› again", "› first"])
def test_all_that_was_said_can_be_drawn_again(played: Played, prompt: str) -> None:
    said = ["› first", *FIRST, prompt, *SECOND[:3]]
    played.feed("".join(f"{row}\r\n" for row in said) + "> ")
    for count in range(4, len(SECOND) + 1):
        said.append(SECOND[count - 1])
        played.feed("\x1b[2J\x1b[3J\x1b[H" + "".join(f"{row}\r\n" for row in said) + "> ")
    assert played.told() == ["› first", *FIRST, prompt, *SECOND]
