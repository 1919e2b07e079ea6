"""When a row becomes a line: it has settled, it has grown, or it is a spinner and never does."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript import Transcript


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def screen() -> Iterator[tuple[Transcript, Clock]]:
    clock = Clock()
    emulator = Emulator(10, 40)
    yield Transcript(emulator, TranscriptRules(live=(r"^> ",)), clock), clock
    emulator.close()


def after(transcript: Transcript, clock: Clock, seconds: float) -> list[str]:
    lines: list[str] = []
    end = clock.now + seconds
    while (due := transcript.due()) is not None and due <= end:
        clock.now = max(due, clock.now)
        lines += transcript.tick()
    clock.now = end
    return lines


def test_nothing_is_due_while_nothing_happens(screen: tuple[Transcript, Clock]) -> None:
    transcript, clock = screen
    assert transcript.due() is None
    transcript.feed(b"hello\r\n> ")
    assert transcript.due() is not None
    assert after(transcript, clock, 5) == ["hello"]
    assert transcript.due() is None


def test_the_last_row_waits_while_the_agent_is_busy_and_its_growth_comes_as_a_rest(
    screen: tuple[Transcript, Clock],
) -> None:
    transcript, clock = screen
    transcript.set_activity("busy")
    transcript.feed(b"first\r\nlast word\r\n> ")
    assert after(transcript, clock, 2) == ["first"]
    transcript.set_activity("idle")
    assert after(transcript, clock, 0.1) == ["last word"]
    transcript.feed(b"\x1b[A\x1b[9C and more\r\n> ")
    assert after(transcript, clock, 3) == ["and more"]


def test_a_spinner_and_a_clock_are_no_lines() -> None:
    clock = Clock()
    emulator = Emulator(10, 40)
    transcript = Transcript(emulator, TranscriptRules(live=(r"^> ",)), clock)
    lines: list[str] = []
    transcript.set_activity("busy")
    for turn in range(40):
        lines += transcript.feed(f"\x1b[H{'|/-'[turn % 3]} working {turn}s\x1b[K\r\n> ".encode())
        lines += after(transcript, clock, 0.1)
    lines += transcript.feed(b"\x1b[Hthe answer\x1b[K\r\n> ") + after(transcript, clock, 8)
    assert lines == ["the answer"]
    emulator.close()


def test_a_half_drawn_frame_is_not_read(screen: tuple[Transcript, Clock]) -> None:
    transcript, clock = screen
    transcript.feed(b"\x1b[?2026hhalf a fra")
    assert after(transcript, clock, 0.2) == []
    transcript.feed(b"\x1b[2K\rthe frame\r\n> \x1b[?2026l")
    assert after(transcript, clock, 2) == ["the frame"]


def test_a_redraw_of_all_that_was_said_says_nothing_again(screen: tuple[Transcript, Clock]) -> None:
    transcript, clock = screen
    said = "".join(f"row number {n}\r\n" for n in range(30))
    transcript.feed(said.encode() + b"> ")
    assert after(transcript, clock, 2) == [f"row number {n}" for n in range(30)]
    transcript.feed(b"\x1b[2J\x1b[3J\x1b[H" + said.encode() + b"row number 30\r\n> ")
    assert after(transcript, clock, 2) == ["row number 30"]


def test_rows_that_went_by_unseen_are_counted() -> None:
    clock = Clock()
    emulator = Emulator(6, 40)
    transcript = Transcript(emulator, TranscriptRules(), clock)
    transcript.feed(b"\x1b[?1049h\x1b[H" + b"".join(f"early {n}\r\n".encode() for n in range(5)))
    after(transcript, clock, 2)
    transcript.feed(b"\x1b[H" + b"".join(f"middle {n}\x1b[K\r\n".encode() for n in range(5)))
    after(transcript, clock, 0.1)
    transcript.feed(b"\x1b[H" + b"".join(f"later {n}\x1b[K\r\n".encode() for n in range(5)))
    lines = after(transcript, clock, 2)
    assert transcript.lost > 0
    assert "middle 0" in lines
    assert "later 4" in lines
    emulator.close()


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"\x1b[2J",
                    b"\x1b[?2026h",
                    b"\x1b[?2026l",
                    b"\x1b[?1049h",
                    b"\x1b[?1049l",
                    b"\x1b[H",
                    b"\x1bc",
                    b"\r\n",
                    b"text ",
                    b"\x1b[A",
                    b"\x1b[",
                    b"\x1b]0;",
                    b"\x07",
                    "日".encode(),
                    b"> ",
                    b"\x1b[3J",
                ]
            ),
            st.binary(max_size=6),
        ),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)  # fmt: skip
def test_no_output_breaks_it(pieces: list[bytes]) -> None:
    clock = Clock()
    emulator = Emulator(6, 20)
    transcript = Transcript(emulator, TranscriptRules(live=(r"^> ",), drop=(r"^x",)), clock)
    for index, piece in enumerate(pieces):
        transcript.feed(piece)
        clock.now += 0.02 * (index % 3)
        transcript.tick()
        if index == 30:
            transcript.resize(4, 15)
    clock.now += 10
    transcript.tick()
    assert all("\n" not in line and "\x1b" not in line for line in transcript.flush())
    emulator.close()
