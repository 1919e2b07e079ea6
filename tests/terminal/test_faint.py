"""Faint text is no input; frames stay, and the cursor that a program draws on a placeholder goes with it."""

import pytest

from meshd_core.terminal.emulator import Emulator


@pytest.mark.parametrize(
    ("drawn", "typed"),
    [
        (b"> \x1b[2mAsk anything\x1b[0m", ">"),
        (b"> \x1b[7mA\x1b[0m\x1b[2msk anything\x1b[0m", ">"),
        (b"> draft\x1b[7m \x1b[0m", "> draft"),
        (b"> half\x1b[2m a suggestion\x1b[22m!", "> half             !"),
        (b"\x1b[2;38;2;70;70;70m\xe2\x94\x80\xe2\x94\x80 hint\x1b[0m", "\u2500\u2500"),
        (b"\x1b[38;2;1;2;3mtext\x1b[48;5;2m in colours\x1b[0m", "text in colours"),
        (b"one\r\n\x1b[2mtwo\r\nthree\x1b[0m\r\nfour", "one\n\n\nfour"),
    ],
)
def test_typed_text(drawn: bytes, typed: str) -> None:
    emulator = Emulator(5, 40)
    emulator.feed(drawn)
    assert emulator.typed_text() == typed
    emulator.close()
