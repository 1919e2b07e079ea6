"""The output chain: filters in order, failures isolated, every replay exact."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.contracts.filters import FilterStream, OutputFilter
from meshd_core.terminal.output_chain import OutLine, OutputChain, withheld


class Pairs(OutputFilter):
    """Holds each line back until its partner has come, then emits both and their sum."""

    name = "pairs"

    class Stream(FilterStream):
        def __init__(self) -> None:
            self.held: list[str] = []

        def feed(self, line: str) -> Sequence[str]:
            self.held.append(line)
            return self.flush() if len(self.held) == 2 else ()

        def pending(self) -> bool:
            return bool(self.held)

        def flush(self) -> Sequence[str]:
            lines, self.held = self.held, []
            return [*lines, "+".join(lines)] if lines else ()

    def open(self, slot: str) -> FilterStream:
        return self.Stream()


class Upper(OutputFilter):
    name = "upper"

    class Stream(FilterStream):
        def feed(self, line: str) -> Sequence[str]:
            return () if line == "drop" else (line.upper(),)

    def open(self, slot: str) -> FilterStream:
        return self.Stream()

    def block(self, text: str) -> str:
        return text.upper()


class Chatty(OutputFilter):
    """Emits at once and yet holds on: a summary after every third line."""

    name = "chatty"

    class Stream(FilterStream):
        def __init__(self) -> None:
            self.seen = 0

        def feed(self, line: str) -> Sequence[str]:
            self.seen = (self.seen + 1) % 3
            return (line, "--") if self.seen == 0 else (line,)

        def pending(self) -> bool:
            return self.seen > 0

    def open(self, slot: str) -> FilterStream:
        return self.Stream()


class Picky(OutputFilter):
    """Raises on every line that contains `bad`, and on such blocks."""

    name = "picky"

    class Stream(FilterStream):
        def feed(self, line: str) -> Sequence[str]:
            if "bad" in line.lower():
                raise ValueError("can't redact this")
            return (line,)

    def __init__(self, *, fail_open: bool = False) -> None:
        self.fail_open = fail_open

    def open(self, slot: str) -> FilterStream:
        return self.Stream()

    def block(self, text: str) -> str:
        if "bad" in text.lower():
            raise ValueError("can't redact this")
        return text


class Last(OutputFilter):
    """Holds each line back until the next one comes, or none comes for a moment."""

    name = "last"

    class Stream(FilterStream):
        def __init__(self) -> None:
            self.held: list[str] = []

        def feed(self, line: str) -> Sequence[str]:
            out, self.held = self.held, [line]
            return out

        def pending(self) -> bool:
            return bool(self.held)

        def idle(self) -> Sequence[str]:
            return self.flush()

        def flush(self) -> Sequence[str]:
            out, self.held = self.held, []
            return out

    def open(self, slot: str) -> FilterStream:
        return self.Stream()


def numbered(*lines: str) -> list[tuple[str, int]]:
    return [(line, 10 * (index + 1)) for index, line in enumerate(lines)]


def texts(lines: list[OutLine]) -> list[str]:
    return [line.text for line in lines]


def test_without_filters_lines_pass_with_their_own_offsets() -> None:
    assert OutputChain("s", []).feed(numbered("a", "b")) == [OutLine("a", 10, 0), OutLine("b", 20, 0)]


def test_filters_apply_in_the_configured_order() -> None:
    assert texts(OutputChain("s", [Upper(), Pairs()]).feed(numbered("a", "b"))) == ["A", "B", "A+B"]
    assert texts(OutputChain("s", [Pairs(), Upper()]).feed(numbered("a", "b"))) == ["A", "B", "A+B"]
    assert texts(OutputChain("s", [Pairs(), Upper()]).feed(numbered("drop", "b"))) == ["B", "DROP+B"]
    assert texts(OutputChain("s", [Upper(), Pairs()]).feed(numbered("drop", "b"))) == []


def test_held_lines_keep_the_safe_offset_back() -> None:
    out = OutputChain("s", [Pairs()], start=5).feed(numbered("a", "b", "c", "d"))
    assert out == [
        OutLine("a", 5, 1), OutLine("b", 5, 2), OutLine("a+b", 20, 0),
        OutLine("c", 20, 1), OutLine("d", 20, 2), OutLine("c+d", 40, 0),
    ]  # fmt: skip


def test_a_held_line_is_let_out_when_nothing_comes_and_goes_on_through_later_filters() -> None:
    chain = OutputChain("s", [Last(), Upper()], start=5)
    assert not chain.holds
    assert chain.feed(numbered("a")) == []
    assert chain.holds
    assert chain.idle() == [OutLine("A", 10, 0)]
    assert not chain.holds
    assert chain.idle() == []
    assert chain.feed([("b", 20), ("c", 30)]) == [OutLine("B", 10, 1)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.data())
def test_a_replay_gives_exactly_the_rest_wherever_a_moment_without_lines_was(
    lines: list[str], data: st.DataObject
) -> None:
    def run(chain: OutputChain, source: list[tuple[str, int]]) -> list[OutLine]:
        out: list[OutLine] = []
        for line in source:
            out += chain.feed([line])
            if data.draw(st.booleans()):
                out += chain.idle()
        return out + chain.flush()

    kinds = data.draw(st.sampled_from([[Last], [Last, Upper], [Last, Last], [Upper, Last]]))
    source = numbered(*lines)
    out = run(OutputChain("s", [kind() for kind in kinds]), source)
    assert [line.text.lower() for line in out] == lines
    for index, line in enumerate(out):
        again = OutputChain("s", [kind() for kind in kinds], start=line.raw_end)
        again.resume(line.skip)
        rest = run(again, [item for item in source if item[1] > line.raw_end])
        assert texts(rest) == texts(out[index + 1 :])


def test_a_filter_that_fails_when_nothing_comes_withholds() -> None:
    class Late(OutputFilter, FilterStream):
        name = "late"

        def open(self, slot: str) -> FilterStream:
            return self

        def idle(self) -> Sequence[str]:
            raise RuntimeError("idle")

    assert texts(OutputChain("s", [Late()]).idle()) == [withheld("late")]


def test_lines_that_were_told_are_swallowed_by_their_text_until_new_output_begins() -> None:
    chain = OutputChain("s", [])
    chain.resume_told(["a", "b", "c"], head=30)
    assert texts(chain.feed([("a", 10), ("spin", 20), ("c", 30), ("b", 40), ("c", 50)])) == ["spin", "b", "c"]


CHAINS = st.lists(st.sampled_from([Upper, Pairs, Chatty, Picky]), max_size=3)
LINES = st.lists(st.sampled_from(["a", "b", "drop", "bad", "worse bad", "c"]), max_size=14)


@settings(max_examples=300, deadline=None)
@given(CHAINS, LINES, st.data())
def test_a_replay_from_any_emitted_line_gives_exactly_the_rest(
    kinds: list[type[OutputFilter]], lines: list[str], data: st.DataObject
) -> None:
    source = [(line, 10 * (index // data.draw(st.sampled_from([1, 1, 2])) + 1)) for index, line in enumerate(lines)]
    source.sort(key=lambda line: line[1])
    chain = OutputChain("s", [kind() for kind in kinds])
    out = chain.feed(source) + chain.flush()
    for index, line in enumerate(out):
        again = OutputChain("s", [kind() for kind in kinds], start=line.raw_end)
        again.resume(line.skip)
        rest = again.feed([item for item in source if item[1] > line.raw_end]) + again.flush()
        assert rest == out[index + 1 :]


@settings(max_examples=100, deadline=None)
@given(CHAINS, LINES, st.integers(0, 14))
def test_any_batching_gives_the_same_lines(kinds: list[type[OutputFilter]], lines: list[str], cut: int) -> None:
    source = numbered(*lines)
    whole = OutputChain("s", [kind() for kind in kinds])
    split = OutputChain("s", [kind() for kind in kinds])
    assert whole.feed(source) + whole.flush() == split.feed(source[:cut]) + split.feed(source[cut:]) + split.flush()


def test_a_raising_filter_withholds_its_lines_and_says_so_once_a_run() -> None:
    seen: list[tuple[str, str]] = []
    chain = OutputChain("s", [Picky()], on_error=lambda name, exc: seen.append((name, str(exc))))
    out = chain.feed(numbered("ok", "bad 1", "bad 2", "fine", "bad 3"))
    assert texts(out) == ["ok", withheld("picky"), "fine", withheld("picky")]
    assert withheld("picky") == "[output withheld: filter 'picky' failed]"
    assert chain.errors == 3
    assert seen == [("picky", "can't redact this")] * 3


def test_a_filter_that_fails_open_lets_its_line_pass() -> None:
    chain = OutputChain("s", [Picky(fail_open=True), Upper()])
    assert texts(chain.feed(numbered("ok", "bad"))) == ["OK", "BAD"]
    assert chain.errors == 1


def test_a_filter_whose_stream_cannot_be_opened_withholds_everything() -> None:
    class Broken(OutputFilter):
        name = "broken"

        def open(self, slot: str) -> FilterStream:
            raise OSError("no rules")

    chain = OutputChain("s", [Broken()])
    assert texts(chain.feed(numbered("secret", "secret"))) == [withheld("broken")]
    assert chain.flush() == []


@pytest.mark.parametrize("wrong", ["a string", None, [1], {"a": 1}, b"bytes"])
def test_a_filter_that_returns_something_else_than_lines_has_failed(wrong: object) -> None:
    class Wrong(OutputFilter, FilterStream):
        name = "wrong"

        def open(self, slot: str) -> FilterStream:
            return self

        def feed(self, line: str) -> Sequence[str]:
            return wrong  # type: ignore[return-value]

    assert texts(OutputChain("s", [Wrong()]).feed(numbered("secret"))) == [withheld("wrong")]


def test_failing_in_pending_or_flush_breaks_nothing() -> None:
    class Late(OutputFilter, FilterStream):
        name = "late"

        def open(self, slot: str) -> FilterStream:
            return self

        def pending(self) -> bool:
            raise RuntimeError("pending")

        def flush(self) -> Sequence[str]:
            raise RuntimeError("flush")

    chain = OutputChain("s", [Late()])
    assert texts(chain.feed(numbered("a"))) == ["a"]
    assert texts(chain.flush()) == [withheld("late")]
    assert chain.errors == 2


def test_a_block_passes_all_filters_or_is_withheld_as_a_whole() -> None:
    assert OutputChain("s", []).block("as is") == "as is"
    assert OutputChain("s", [Upper(), Picky()]).block("two\nlines") == "TWO\nLINES"
    assert OutputChain("s", [Picky(), Upper()]).block("good\nbad") == withheld("picky")
    assert OutputChain("s", [Picky(fail_open=True), Upper()]).block("good\nbad") == "GOOD\nBAD"
