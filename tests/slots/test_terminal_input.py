"""A person's keys reach the agent; what their terminal answers by itself does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_core.slots.terminal_input import MAX_HELD_BYTES, TerminalInput, typed

ANSWERS = [
    b"\x1b[?62;22c", b"\x1b[>1;10;0c", b"\x1b[12;40R", b"\x1b[?1;1;1R", b"\x1b[?2026;2$y", b"\x1b[0n", b"\x1b[?1u",
    b"\x1b]11;rgb:0000/0000/0000\x07", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\", b"\x1bP>|tmux 3.4\x1b\\", b"\x1b[8;40;120t",
    b"\x1bP1$r0m\x1b\\", b"\x1b_Gi=31;OK\x1b\\", b"\x1b]7501;?\x1b\\",
]  # fmt: skip
KEYS = [
    b"\x1b", b"\x1b\x1b", b"\r", b"\x03", b"a", b"\x1b[A", b"\x1bOA", b"\x1b[1;5C", b"\x1b[1;2R", b"\x1bOR", b"\x1b[3~",
    b"\x1b[Z", b"\x1b[200~paste\x1b[201~", b"\x1bP", b"\x1b]", b"\x1b_", b"\x1b[", b"\x1bb", b"\xe4\xb8\xad",
    b"\x1b[93;5u", b"\x1b[27;5;93~", b"\x1b[I", b"\x1b[<0;10;5M", b"\x1b[M !!", b"\x1b[?997;1n", b"\x1b[15~",
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_dropped_however_it_is_cut_after_its_beginning(answer: bytes) -> None:
    assert TerminalInput().keys(b"a" + answer + b"b") == b"ab"
    for cut in range(3, len(answer)):
        # `ESC [ digits` alone can be a key, so it is never held back.
        if answer[:3] in (b"\x1b[1", b"\x1b[0", b"\x1b[8"):
            continue
        source = TerminalInput()
        assert source.keys(answer[:cut]) + source.keys(answer[cut:]) == b"", cut


@pytest.mark.parametrize("key", KEYS)
def test_a_key_passes_at_once(key: bytes) -> None:
    assert TerminalInput().keys(key) == key


@given(st.lists(st.sampled_from(ANSWERS + [key for key in KEYS if key[-1:] not in b"P]_[\x1b"]), max_size=8))
def test_keys_pass_in_order_between_answers(parts: list[bytes]) -> None:
    expected = b"".join(part for part in parts if part not in ANSWERS)
    assert TerminalInput().keys(b"".join(parts)) == expected


def test_what_never_ends_is_not_held_for_ever() -> None:
    source = TerminalInput()
    endless = b"\x1b]52;c;" + b"A" * MAX_HELD_BYTES
    assert source.keys(endless) == endless
    assert source.keys(b"x") == b"x"


def test_mouse_and_focus_are_not_typing() -> None:
    assert not typed(b"\x1b[I\x1b[<35;10;5M\x1b[O\x1b[M !!")
    assert not typed(b"")
    assert typed(b"\x1b[Ix")
    assert typed(b"\x1b")
    assert typed(b"\x1b[A")
