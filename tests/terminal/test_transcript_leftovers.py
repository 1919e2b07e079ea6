"""What a resize leaves of an earlier drawing, with the same drawn again below it, is no text of its own."""

import textwrap

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript import Transcript
from meshd_core.terminal.transcript_leftovers import Leftovers
from meshd_core.terminal.transcript_tape import compact

RULES = TranscriptRules(live=(r"^>",), drop=(r"^>$", r"^-+$"))


class DrawsInPlace:
    """Draws its answer, a rule and its prompt over what it drew before, which it takes to have the rows that it had,
    as programs do that don't know how a terminal cuts lines anew.
    """

    def __init__(self, cols: int) -> None:
        self.cols, self._drawn = cols, 1

    def draw(self, paragraphs: list[str]) -> bytes:
        rows = [row for text in paragraphs for row in [*textwrap.wrap(text, self.cols - 1), ""]]
        rows += ["-" * self.cols, "> "]
        erase = "\x1b[2K" + "\x1b[A\x1b[2K" * (self._drawn - 1) + "\r"
        self._drawn = len(rows)
        return (erase + "\r\n".join(rows)).encode()


class Screen:
    def __init__(self, rows: int, cols: int) -> None:
        self.now = 0.0
        self.emulator = Emulator(rows, cols)
        self.transcript = Transcript(self.emulator, RULES, lambda: self.now)
        self.program = DrawsInPlace(cols)
        self.lines: list[str] = []
        self.transcript.set_activity("busy")

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.transcript.due()) is not None and due <= end:
            self.now = max(due, self.now)
            self.lines += self.transcript.tick()
        self.now = end

    def draw(self, *paragraphs: str, wait: float = 0.1) -> None:
        self.lines += self.transcript.feed(self.program.draw(list(paragraphs)))
        self.wait(wait)

    def resize(self, rows: int, cols: int, *, noticed: bool = True) -> None:
        self.program.cols = cols if noticed else self.program.cols
        self.lines += self.transcript.resize(rows, cols)

    def end(self) -> list[str]:
        self.transcript.set_activity("idle")
        self.wait(10)
        self.emulator.close()
        return [line for line in self.lines if line]


def found(text: str, *rows: str) -> list[int | None]:
    """Where each of `rows` is in `text`, whose rows are divided by bars."""
    leftovers = Leftovers()
    leftovers.begin()
    for row in text.split("|"):
        leftovers.add(row)
    return leftovers.find(rows)


def test_what_stands_there_again_is_found() -> None:
    assert found("a prompt|an answer", "an answer", "an answer", "an answer and more") == [8, 8, 8]
    assert found("the first part", "the first", "the first", " part of", "all") == [0, 0, 9, None]
    assert found("the first|and second", "the", " first", "the firstand", " second,third") == [0, 3, 0, 12]
    assert found("as said before|and now", "as said before", "something else") == [None, None]
    assert found("as said before|and now", "as said before", "and now", "as said before") == [0, 14, None]
    assert found("as said before", "before that") == [None]
    assert found("}|}", "}", "}", "}") == [None, None, None]
    assert found("a prompt") == []


def test_what_grew_and_stands_there_again_is_found() -> None:
    assert found("an answer", "an answer and", " more", "an answer", " and more of it") == [0, 13, 0, 9]
    assert found("an answer", "an answer and", "a footer", "an answer", " and more of it") == [0, None, 0, None]


def test_an_answer_that_is_drawn_again_below_what_a_resize_left_comes_once() -> None:
    screen = Screen(24, 60)
    words = [f"word{n}" for n in range(40)]
    for count in range(1, 20):
        screen.draw(" ".join(words[:count]))
    screen.resize(24, 40)
    for count in range(19, 41):
        screen.draw(" ".join(words[:count]))
    assert compact("".join(screen.end())) == compact("".join(words))


def test_a_line_that_is_said_twice_long_after_a_resize_comes_twice() -> None:
    screen = Screen(24, 60)
    screen.draw("as it was said", wait=1)
    screen.resize(24, 40)
    screen.draw("as it was said", wait=2)
    screen.draw("as it was said", "as it was said", "and so on")
    assert screen.end() == ["as it was said", "as it was said", "and so on"]


def test_resizes_again_and_again_and_a_program_that_notices_late() -> None:
    screen = Screen(40, 110)
    words = [f"word{n}" for n in range(80)]
    shown = 12
    for rows, cols in [(36, 100), (30, 70), (24, 60), (40, 110), (24, 80)]:
        screen.draw(" ".join(words[:shown]), wait=0.5)
        screen.resize(rows, cols, noticed=False)
        screen.draw(" ".join(words[: shown + 1]), wait=0.02)
        screen.program.cols = cols
        for count in range(shown + 1, shown + 12):
            screen.draw(" ".join(words[:count]))
        shown += 12
    screen.draw(" ".join(words))
    assert compact("".join(screen.end())) == compact("".join(words))


@given(
    lengths=st.lists(st.integers(3, 12), min_size=20, max_size=60),
    rows=st.integers(8, 30),
    cols=st.integers(24, 90),
    part=st.floats(0.3, 0.9),
    step=st.integers(1, 9),
)
@example(lengths=[8] * 40, rows=24, cols=31, part=0.5, step=7)
@settings(max_examples=60, deadline=None)
def test_whatever_is_left_nothing_is_said_twice(
    lengths: list[int], rows: int, cols: int, part: float, step: int
) -> None:
    words = ["An answer:", *("abcdefghijkl"[: length - 1] + str(n) for n, length in enumerate(lengths))]
    # What it can't go up to, it can't draw over.
    assume(len(textwrap.wrap(" ".join(words), min(cols, 60) - 1)) + 3 <= rows)
    before = int(len(words) * part)
    screen = Screen(rows, 60)
    for count in [*range(1, before, step), before]:
        screen.draw(" ".join(words[:count]))
    screen.resize(rows, cols)
    for count in [*range(before, len(words), step), len(words)]:
        screen.draw(" ".join(words[:count]))
    assert compact("".join(screen.end())) == compact("".join(words))
