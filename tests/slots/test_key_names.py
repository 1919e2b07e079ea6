"""Names of keys: what a terminal sends for them, and what is refused."""

import pytest

from meshd_core.errors import InvalidField
from meshd_core.slots.key_names import strokes


def pressed(*keys: str, application_cursor: bool = False) -> list[bytes]:
    return list(strokes(keys, application_cursor=application_cursor))


def test_names_are_the_bytes_that_xterm_sends() -> None:
    assert pressed("Enter", "Tab", "S-Tab", "Backspace", "F1", "F5", "PageUp", "Delete") == [
        b"\r\t\x1b[Z\x7f\x1bOP\x1b[15~\x1b[5~\x1b[3~"
    ]
    assert pressed("C-c", "C-C", "C-@", "C-_", "C-[") == [b"\x03\x03\x00\x1f\x1b"]
    assert pressed("M-x", "M-Enter") == [b"\x1bx\x1b\r"]
    assert pressed("é", "-", "C", " ") == ["é-C ".encode()]


def test_arrows_follow_the_mode_that_the_program_set() -> None:
    assert pressed("Up", "End") == [b"\x1b[A\x1b[F"]
    assert pressed("Up", "End", application_cursor=True) == [b"\x1bOA\x1bOF"]


def test_escape_ends_a_write_so_that_what_follows_is_not_read_as_alt() -> None:
    assert pressed("Escape", "Escape", "x") == [b"\x1b", b"\x1b", b"x"]
    assert pressed("a", "Escape") == [b"a\x1b"]


@pytest.mark.parametrize("key", ["", "Entr", "C-", "C-é", "M-", "ctrl-c", "\x1b", "\n", "xy", "M-xy"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidField):
        pressed("a", key)


def test_a_slip_is_told_the_nearest_name() -> None:
    with pytest.raises(InvalidField) as slip:
        pressed("Entr")
    assert slip.value.hint == "did you mean 'Enter'?"
