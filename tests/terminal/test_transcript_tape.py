"""The tape: what is old, what is new, and where a screen lies on it."""

from meshd_core.terminal.transcript_screen import rest_of
from meshd_core.terminal.transcript_tape import MAX_CHARS, Placed, Tape, compact
from meshd_core.terminal.transcript_volatile import VolatileRows


def tape_of(*rows: str) -> Tape:
    tape = Tape()
    for row in rows:
        tape.append(compact(row))
    return tape


def test_rows_on_the_tape_are_old_and_rows_past_its_end_are_new() -> None:
    walk = tape_of("first row", "second row").walk(["firstrow", "secondrow", "thirdrow"], 0)
    assert walk.placed == [Placed(8), Placed(9), Placed(0)]
    assert walk.clean


def test_a_screen_drawn_again_lies_where_it_explains_most_of_its_rows() -> None:
    turn = ["❯ again", "● Done. As always."]
    tape = tape_of("banner of the program", *turn * 6)
    rows = [compact(row) for row in [*turn * 4, "❯ again"]]
    position, first = tape.locate_replayed(rows) or (None, None)
    whole = len(compact("".join(turn)))
    assert (position, first) == (tape.end - 4 * whole, 0)
    assert tape.locate_replayed([compact("never seen before")]) is None


def test_a_rewrap_changes_nothing() -> None:
    walk = tape_of("a long line of words").walk(["along", "lineof", "words", "new"], 0)
    assert [place.known for place in walk.placed] == [5, 6, 5, 0]


def test_a_row_that_grew_past_the_end_is_known_as_far_as_the_tape_goes() -> None:
    assert tape_of("one", "half").walk(["one", "halfdone"], 0).placed[1] == Placed(4)


def test_a_row_changed_in_place_is_put_where_it_stands() -> None:
    tape = tape_of("header row", "running tool", "last row here")
    walk = tape.walk(["headerrow", "donewithit", "lastrowhere"], 0)
    assert walk.placed[1] == Placed(0, 9)
    assert not walk.clean


def test_a_row_that_is_said_again_above_others_is_new() -> None:
    tape = tape_of("› first row", "second row", "box of input")
    walk = tape.walk(["›firstrow", "secondrow", "Yousaid:", "secondrow", "boxofinput"], 0)
    assert [place.known for place in walk.placed] == [9, 9, 0, 0, 10]


def test_rows_that_come_back_above_the_first_are_old() -> None:
    tape = tape_of("first row", "second row", "third row", "fourth row")
    walk = tape.walk(["secondrow", "thirdrow", "fourthrow", "new"], 17)
    assert [place.known for place in walk.placed] == [9, 8, 9, 0]
    assert walk.starts[0] == 8


def test_identical_rows_past_the_end_are_all_new() -> None:
    assert [place.known for place in tape_of("same").walk(["same", "same", "same"], 0).placed] == [4, 0, 0]


def test_of_two_places_that_fit_the_nearest_is_taken() -> None:
    tape = tape_of("block one", "block two", "block one", "block two")
    assert tape.locate(["blockone", "blocktwo", "new"], tape.end) == (16, 0)
    assert tape.locate(["blockone", "blocktwo", "blockone"], 3) == (0, 0)
    assert tape.locate(["unknown"], 0) is None


def test_a_row_that_grew_above_others_moves_nothing() -> None:
    tape = tape_of("a prompt", "an answer that", "what waits", "and waits")
    rows = [compact(row) for row in ["a prompt", "an answer that grows", "what waits", "and waits"]]
    assert tape.locate(rows, 0) == (0, 0)
    assert tape.walk(rows, 0).placed[1] == Placed(12, len("apromptananswerthat"))


def test_the_tape_is_bounded_and_positions_stay() -> None:
    tape = Tape()
    for index in range(30_000):
        tape.append(f"row{index:06}")
    assert tape.holds("row029999")
    assert not tape.holds("row000001")
    assert tape.end == 30_000 * 9
    assert tape.start >= tape.end - MAX_CHARS
    assert tape.walk(["row029999"], tape.end - 9).placed == [Placed(9)]


def test_the_rest_of_a_row_keeps_its_spaces() -> None:
    assert rest_of("  a b  c d", 2) == "c d"
    assert rest_of("  a b", 0) == "  a b"
    assert rest_of("ab", 2) == ""


def test_a_spinner_is_volatile_after_two_changes_and_settles_after_four_seconds() -> None:
    rows = VolatileRows()
    assert [rows.look(["text", f"{spin} Thinking {n}s"], n) for n, spin in enumerate("⠋⠙⠹")][-1] == {1}
    assert rows.look(["text", "⠹ Thinking 2s"], 10.0) == frozenset()


def test_a_row_that_takes_the_place_of_a_spinner_is_not_volatile() -> None:
    rows = VolatileRows()
    for n in range(3):
        rows.look(["prompt", f"✻ retrying in {9 - n}s"], n / 10)
    assert rows.look(["prompt"], 0.4) == frozenset()
    assert rows.look(["prompt", "an answer"], 0.5) == frozenset()


def test_moved_and_growing_rows_are_not_volatile() -> None:
    rows = VolatileRows()
    for n in range(6):
        assert not rows.look([f"line {n}", f"line {n + 1}", "word " * n], n / 10)


def test_words_that_a_filter_changed_are_known_as_they_were_drawn() -> None:
    tape = Tape("one[x]two[x]three")
    tape.reword([("[x]", "first"), ("[x]", "second"), ("four", "4")])
    assert tape.holds("onefirsttwosecondthree")
    assert tape.end == len("onefirsttwosecondthree")
