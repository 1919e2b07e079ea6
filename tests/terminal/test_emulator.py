"""The emulator: what is shown, what is answered, what is heard, and that nothing breaks it."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.terminal.emulator import MAX_MESSAGE_BYTES, MAX_REPLY_BYTES, MAX_TITLE_CHARS, Emulator, Signal

_FRAGMENTS = st.sampled_from(
    [b"\x1b[", b"\x1b]", b"\x1b]7501;", b"state=idle:app=x", b"\x1bP", b"\x1b_G", b"\x1b\\", b"\x07", b"\x1b[?1049h",
     b"\x1b[?2026h", b"38;2;1;2;3m", b"6n", b"2J", b"3J", b"\x1bc", b"9999999999", b";", b"\r\n", b"\xe6\x97", b"\xff",
     "日本語é👨‍👩‍👧".encode(), b"plain text ", b"\x1b[4:3m", b"\x1b[5b", b"\x1b[1;1r", b"\x9b31m"]
)  # fmt: skip
_ESCAPES = st.lists(st.one_of(_FRAGMENTS, st.binary(max_size=8)), max_size=40).map(b"".join)


def replies_to(data: bytes) -> bytes:
    got: list[bytes] = []
    Emulator(24, 80, on_reply=got.append).feed(data)
    return b"".join(got)


def signals_of(data: bytes) -> list[Signal]:
    got: list[Signal] = []
    Emulator(24, 80, on_signal=got.append).feed(data)
    return got


def test_rows_are_exactly_as_many_as_the_screen_has() -> None:
    emulator = Emulator(5, 20)
    emulator.feed(b"one  \r\n\r\n  three")
    assert emulator.rows() == ["one", "", "  three", "", ""]
    assert emulator.cursor == (2, 7)
    assert emulator.text() == "one\n\n  three"
    emulator.resize(3, 10)
    assert (emulator.size.rows, emulator.size.cols, len(emulator.rows())) == (3, 10, 3)
    emulator.close()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;"),
        (b"\x1b[6n", b"\x1b[1;1R"),
        (b"\x1b[>q", b"\x1bP>|"),
        (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x07"),
        (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
        (b"\x1b]7501;?\x1b\\", b"\x1b]7501;?\x1b\\"),
    ],
)
def test_queries_are_answered(query: bytes, answer: bytes) -> None:
    assert replies_to(query).startswith(answer)


@pytest.mark.parametrize(
    "query", [b"\x1b[?u", b"\x1b]2;x\x07\x1b[21t", b"\x1b]52;c;?\x07", b"\x1b_Gi=1,a=q;AAAA\x1b\\"]
)
def test_kitty_keys_titles_clipboard_and_images_are_not_answered(query: bytes) -> None:
    assert replies_to(query) == b""


def test_a_flood_of_queries_gets_no_flood_of_answers() -> None:
    assert 0 < len(replies_to(b"\x1b[6n" * 50_000)) <= MAX_REPLY_BYTES


def test_a_signal_carries_state_app_kind_and_message() -> None:
    message = base64.b64encode(b"touch x?")
    assert signals_of(b"\x1b]7501;state=blocked:app=claude-code:kind=permission:msg=" + message + b"\x1b\\") == [
        Signal("blocked", "claude-code", "permission", "touch x?")
    ]
    assert signals_of(b"\x1b]7501;state=idle:app=codex\x07") == [Signal("idle", "codex")]


def test_a_bad_message_is_ignored_and_a_long_one_is_cut() -> None:
    assert signals_of(b"\x1b]7501;state=done:app=x:msg=%%%\x07") == [Signal("done", "x")]
    assert signals_of(b"\x1b]7501;nonsense\x07\x1b]7501;state=:app=x\x07\x1b]7501;state=A B:app=x\x07") == []
    exact = base64.b64encode(b"m" * MAX_MESSAGE_BYTES)
    (signal,) = signals_of(b"\x1b]7501;state=done:app=x:msg=" + exact + b"\x07")
    assert signal.message == "m" * MAX_MESSAGE_BYTES
    assert signals_of(b"\x1b]7501;state=done:app=x:msg=" + b"QUFB" * 100_000 + b"\x07") == []


def test_a_replay_asks_and_reports_nothing() -> None:
    got: list[object] = []
    emulator = Emulator(24, 80, on_reply=got.append, on_signal=got.append)
    old = b"\x1b[c\x1b]7501;?\x1b\\\x1b]7501;state=idle:app=x\x07hello"
    with emulator.replaying():
        emulator.feed(old)
    assert got == []
    assert emulator.text() == "hello"
    with emulator.replaying(signals=True):
        emulator.feed(old)
    assert got == [Signal("idle", "x")]
    emulator.feed(b"\x1b[6n")
    assert len(got) == 2


def test_titles_are_short_and_plain() -> None:
    emulator = Emulator(24, 80)
    assert emulator.title == ""
    emulator.feed("\x1b]0;✳ héllo\x1b\\".encode())
    assert emulator.title == "✳ héllo"
    emulator.feed(b"\x1b]2;" + b"x" * 1000 + b"\x07")
    assert len(emulator.title) <= MAX_TITLE_CHARS
    emulator.feed("\x1b]2;a\u0085b\x7fc\x07".encode())
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in emulator.title)


def test_modes_are_seen() -> None:
    emulator = Emulator(24, 80)

    def modes() -> tuple[bool, ...]:
        return emulator.alternate, emulator.synchronized, emulator.bracketed_paste, emulator.at_ground

    assert modes() == (False, False, False, True)
    emulator.feed(b"\x1b[?1049h\x1b[?2026h\x1b[?2004h")
    assert modes() == (True, True, True, True)
    emulator.feed(b"\x1b[?1049l\x1b[?2026l\x1b[?2004l\x1b[")
    assert modes() == (False, False, False, False)


def test_scrollback_is_taken_once_with_soft_wraps_joined() -> None:
    emulator = Emulator(3, 10)
    emulator.keep_history()
    emulator.feed(b"short\r\n\r\nlong one   with gaps\r\nx\r\ny\r\n")
    assert emulator.take_scrollback() == (["short", "", "long one   with gaps"], False)
    assert emulator.take_scrollback() == ([], False)
    emulator.feed(b"0123456789 tail of it\r\n")
    lines, continues = emulator.take_scrollback()
    assert (lines, continues) == (["x", "y", "0123456789"][: len(lines)], len(lines) == 3)


def test_scrollback_is_taken_row_by_row_if_asked_for() -> None:
    emulator = Emulator(2, 10)
    emulator.keep_history()
    emulator.feed(b"0123456789 tail\r\nx\r\ny")
    assert emulator.take_scrollback(joined=False) == (["0123456789", " tail"], False)
    emulator.close()


@given(pre=st.integers(0, 21))
@settings(max_examples=22, deadline=None)
def test_a_wide_character_at_a_soft_wrap_is_neither_lost_nor_doubled(pre: int) -> None:
    text = "a" * pre + "日本語テキスト日本語テキスト"
    emulator = Emulator(2, 20)
    emulator.keep_history()
    emulator.feed((text + "\r\n").encode())
    lines, _ = emulator.take_scrollback()
    assert "".join(lines) + emulator.rows()[0] == text
    emulator.close()


def test_history_is_bounded_and_small_until_asked_for() -> None:
    emulator = Emulator(3, 120)
    emulator.feed(b"x\r\n" * 50_000)
    assert len(emulator.take_scrollback().lines) < 1000
    emulator.keep_history()
    emulator.feed(b"x\r\n" * 50_000)
    assert 2000 < len(emulator.take_scrollback().lines) < 10_000


@given(_ESCAPES)
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_it(data: bytes) -> None:
    got: list[object] = []
    emulator = Emulator(6, 20, on_reply=got.append, on_signal=got.append)
    emulator.keep_history()
    emulator.feed(data)
    emulator.feed_to_ground(memoryview(b"m\x1b\\"))
    emulator.resize(4, 9)
    assert len(emulator.rows()) == 4
    assert sum(count for _, count in emulator.lines()) == 4
    assert isinstance(emulator.title, str)
    if emulator.at_ground:
        emulator.take_scrollback()
    assert emulator.errors == 0
    emulator.close()
