"""What stands on the screen is seen with the output that brings it, whatever else looks when."""

from meshd_core.testing.corpus.cast import Cast, CastEvent, Header
from meshd_core.testing.corpus.on_screen import begins, first_seen, looks


def test_a_text_is_seen_with_the_output_that_completes_it_even_if_it_goes_at_once() -> None:
    cast = Cast(
        Header(20, 5),
        (
            CastEvent(1.0, "o", "a wrapped answer that"),
            CastEvent(1.1, "i", "not output"),
            CastEvent(1.2, "o", " ends"),
            CastEvent(1.21, "o", "\x1b[2J\x1b[H\x1b[?2026hhalf"),
            CastEvent(1.3, "o", " a frame\x1b[?2026l"),
        ),
    )
    texts = ("answer that ends", "half", "not output", "", "a wrapped")
    assert first_seen(looks(cast), texts) == (1.2, 1.3, None, None, 1.0)


def test_a_size_of_the_recording_is_followed() -> None:
    cast = Cast(Header(20, 5), (CastEvent(1.0, "r", "20x2"), CastEvent(1.5, "o", "one\r\ntwo\r\nthree")))
    assert first_seen(looks(cast), ("one", "three")) == (None, 1.5)


def test_each_time_is_told_at_which_a_screen_comes_to_be_one_that_is_looked_for() -> None:
    cast = Cast(
        Header(20, 5), tuple(CastEvent(at, "o", f"\x1b[H{text}") for at, text in ((1.0, "a"), (2.0, "b"), (3.0, "a")))
    )
    assert begins(looks(cast), lambda screen: screen == "a") == (1.0, 3.0)
    assert begins(looks(cast), lambda screen: screen == "c") == ()
