"""A prompt can't press keys, close its paste, or run a command by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_core.contracts.kinds import SanitizeRules
from meshd_core.slots.sanitize import refused, sanitize
from meshd_core.unseen import INVISIBLE

STRICT = SanitizeRules(leading_bang=True, trailing_mention="@$")
BOX = SanitizeRules(
    leading_bang=True, leading_slash=True, trailing_mention="@/", trailing_backslash=True, invisible=INVISIBLE
)


@given(st.text())
def test_no_control_character_is_left_and_nothing_else_is_lost(text: str) -> None:
    made, changes = sanitize(text, SanitizeRules())
    assert not [char for char in made if (char < " " and char not in "\n\t") or "\x7f" <= char <= "\x9f"]
    made.encode()  # no lone surrogate is left
    assert bool(changes) == (made != text)
    if text.isprintable():
        assert made == text


@given(st.text(alphabet="\x1b[]201~ab\x9b\r\n"))
def test_the_end_of_a_paste_cannot_be_smuggled_in(text: str) -> None:
    made, _ = sanitize(text, SanitizeRules())
    assert "\x1b" not in made
    assert "\x9b" not in made


@pytest.mark.parametrize(
    ("text", "made", "change"),
    [
        ("!rm -rf x", "  !rm -rf x", "leading_bang_neutralised"),
        (" \n !ls", "  !ls", "leading_bang_neutralised"),
        ("see @file", "see @file ", "trailing_mention_closed"),
        ("the $VAR", "the $VAR ", "trailing_mention_closed"),
    ],
)
def test_what_the_input_box_would_interpret_is_made_text(text: str, made: str, change: str) -> None:
    assert sanitize(text, STRICT) == (made, (change,))
    assert sanitize(text, SanitizeRules())[0] == text


@pytest.mark.parametrize(
    ("text", "made", "changes"),
    [
        ("\u200b!ls", "  !ls", ("invisible_characters_removed", "leading_bang_neutralised")),
        ("\u202eleft\u202c", "left", ("invisible_characters_removed",)),
        ("/", " / ", ("leading_slash_neutralised", "trailing_mention_closed")),
        ("/2 is a half", " /2 is a half", ("leading_slash_neutralised",)),
        ("/etc/hosts is", " /etc/hosts is", ("leading_slash_neutralised",)),
        ("/clear", "/clear ", ("trailing_mention_closed",)),
        ("/model x", "/model x", ()),
        ("the end\\", "the end\\ ", ("trailing_backslash_closed",)),
        ("👩\u200d👧 ❤\ufe0f", "👩\u200d👧 ❤\ufe0f", ()),
    ],
)
def test_what_a_box_would_catch_is_made_plain(text: str, made: str, changes: tuple[str, ...]) -> None:
    assert sanitize(text, BOX) == (made, changes)


def test_a_bang_behind_what_is_not_seen_is_one() -> None:
    """An agent may take the invisible out after we looked."""
    assert sanitize("\u200b!ls", STRICT) == ("  \u200b!ls", ("leading_bang_neutralised",))


@pytest.mark.parametrize("text", ["hello!", "me@example.org x", "a @b c", "costs 5$"])
def test_what_is_harmless_stays(text: str) -> None:
    assert sanitize(text, STRICT) == (text, ())


def test_a_cli_without_a_paste_mode_gets_one_line() -> None:
    assert sanitize("one\n\ntwo\n", SanitizeRules(newlines="space")) == ("one two", ("newlines_to_spaces",))


def test_what_nothing_makes_harmless_is_refused_by_its_pattern() -> None:
    rules = SanitizeRules(refuse=(r"^\s*!", r"^/exit\b"))
    assert refused("  !ls", rules) == r"^\s*!"
    assert refused("/exit now", rules) == r"^/exit\b"
    assert refused("say !", rules) is None
