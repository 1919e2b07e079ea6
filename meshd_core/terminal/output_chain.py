"""A slot's output filters at work: lines in, lines out, each with the place from which a replay gives the rest.

A filter that raises withholds its line unless it says `fail_open`: redaction must never leak by failing.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from meshd_core.contracts.filters import FilterStream, OutputFilter


class OutLine(Struct, frozen=True, gc=False):
    """One line as it may be shown; `raw_end` and `skip` as in a journal's record."""

    text: str
    raw_end: int
    skip: int


def withheld(name: str) -> str:
    """What stands in for output that the filter `name` failed on."""
    return f"[output withheld: filter '{name}' failed]"


class _Stage:
    """One filter, its stream for this slot, and whether it failed on the last line."""

    def __init__(self, output_filter: OutputFilter, slot: str, failed: Callable[[str, Exception], None]) -> None:
        self.filter = output_filter
        self._slot, self._failed = slot, failed
        self.open()

    def open(self) -> None:
        self.failing = False
        self._stream: FilterStream | None = None
        try:
            self._stream = self.filter.open(self._slot)
        except Exception as exc:
            self._failed(self.filter.name, exc)

    def feed(self, line: str) -> Sequence[str]:
        try:
            if self._stream is None:
                raise RuntimeError("the filter's stream could not be opened")
            lines = _checked(self._stream.feed(line))
        except Exception as exc:
            self._failed(self.filter.name, exc)
            return (line,) if self.filter.fail_open else self._withhold()
        self.failing = False
        return lines

    def flush(self) -> Sequence[str]:
        return () if self._stream is None else self._let_out(self._stream.flush)

    def idle(self) -> Sequence[str]:
        return () if self._stream is None else self._let_out(self._stream.idle)

    def _let_out(self, held: Callable[[], Sequence[str]]) -> Sequence[str]:
        try:
            return _checked(held())
        except Exception as exc:
            self._failed(self.filter.name, exc)
            return self._withhold()

    def unsafe(self) -> bool:
        """Whether a fresh stream would go on differently: lines held back, or a run of failures already announced."""
        if self.failing or self._stream is None:
            return self.failing
        try:
            return bool(self._stream.pending())
        except Exception as exc:
            self._failed(self.filter.name, exc)
            return False

    def block(self, text: str) -> str | None:
        """`text` as it may be shown; None: not at all."""
        try:
            result = self.filter.block(text)
            if not isinstance(result, str):
                raise TypeError(f"block() returned {type(result).__name__}, not str")
        except Exception as exc:
            self._failed(self.filter.name, exc)
            return text if self.filter.fail_open else None
        return result

    def _withhold(self) -> Sequence[str]:
        announced, self.failing = self.failing, True
        return () if announced else (withheld(self.filter.name),)


def _checked(lines: object) -> list[str]:
    """What a filter returned, as a list of lines. Raises TypeError: a filter that breaks its type has failed."""
    if isinstance(lines, (str, bytes)) or not isinstance(lines, Sequence):
        raise TypeError(f"a filter returned {type(lines).__name__}, not a sequence of lines")
    for line in lines:
        if not isinstance(line, str):
            raise TypeError(f"a filter returned a line of type {type(line).__name__}")
    return list(lines)


class OutputChain:
    """The filters of one run of one slot, in order. Deterministic as far as the filters are.

    `start` is the raw offset at which the input begins. `on_error(filter name, exception)` is called for each failure;
    `errors` counts them.
    """

    def __init__(
        self,
        slot: str,
        filters: Sequence[OutputFilter],
        *,
        start: int = 0,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self.errors = 0
        self._on_error = on_error
        self._stages = [_Stage(item, slot, self._failed) for item in filters]
        self._safe = self._last = start
        self._emitted = 0
        self._skip = 0
        self._whole = True
        self._told: list[str] = []
        self._told_until = 0

    def _failed(self, name: str, exc: Exception) -> None:
        self.errors += 1
        if self._on_error is not None:
            self._on_error(name, exc)

    @property
    def fed_to(self) -> int:
        """The raw offset up to which lines were fed."""
        return self._last

    def resume(self, skip: int) -> None:
        """Swallow the next `skip` lines: they were emitted before the crash whose replay is fed now."""
        self._skip = skip

    def resume_told(self, texts: Sequence[str], head: int) -> None:
        """Swallow lines that equal one of `texts`, in order: as `resume`, where a replay need not give the same lines.

        The first other line that was made of bytes after `head` ends it.
        """
        self._told, self._told_until = list(texts), head

    def feed(self, lines: Sequence[tuple[str, int]], *, whole: bool = True) -> list[OutLine]:
        """What may be shown of `lines` (text, raw_end), oldest first.

        The `raw_end` of a result is the newest offset at which no filter held anything back, `skip` the lines that were
        emitted since. Lines that share a `raw_end` and are fed together count as one step; not `whole`: others that
        belong to the last step will be fed later.
        """
        self._whole = whole
        out: list[OutLine] = []
        final = len(lines) - 1
        for index, (text, raw_end) in enumerate(lines):
            ends = whole if index == final else lines[index + 1][1] != raw_end
            self._last = raw_end
            if not self._stages:
                self._emit(out, (text,), safe=ends)
            else:
                self._emit(out, self._through((text,), 0), safe=ends and not self._held())
        return out

    @property
    def filters(self) -> int:
        """How many there are."""
        return len(self._stages)

    @property
    def holds(self) -> bool:
        """Whether a filter may hold lines back, so that `idle` may have some."""
        return bool(self._stages) and self._held()

    def idle(self) -> list[OutLine]:
        """What the filters let out because nothing came for a moment; as lines, part of what was fed last."""
        result: list[str] = []
        for index, stage in enumerate(self._stages):
            result += self._through(stage.idle(), index + 1)
        out: list[OutLine] = []
        if result:
            self._emit(out, result, safe=self._whole and not self._held())
        return out

    def flush(self) -> list[OutLine]:
        """What the filters held back, at the agent's exit; the chain is then as new for input from the same offset."""
        result: list[str] = []
        for index, stage in enumerate(self._stages):
            result += self._through(stage.flush(), index + 1)
        out: list[OutLine] = []
        self._emit(out, result, safe=self._whole)
        for stage in self._stages:
            stage.open()
        return out

    def block(self, text: str) -> str:
        """`text` of a screen, a title, a reply as it may be shown: all of it withheld if a filter fails."""
        for stage in self._stages:
            result = stage.block(text)
            if result is None:
                return withheld(stage.filter.name)
            text = result
        return text

    def _through(self, lines: Sequence[str], first: int) -> Sequence[str]:
        for stage in self._stages[first:]:
            lines = [result for line in lines for result in stage.feed(line)]
        return lines

    def _is_told(self, text: str) -> bool:
        if text in self._told:
            del self._told[: self._told.index(text) + 1]
            return True
        if self._last > self._told_until:
            self._told.clear()
        return False

    def _held(self) -> bool:
        return any(stage.unsafe() for stage in self._stages)

    def _emit(self, out: list[OutLine], texts: Sequence[str], *, safe: bool) -> None:
        """Append `texts` to `out`; `safe`: after the last of them, a fresh chain goes on the same way from here."""
        final = len(texts) - 1
        for index, text in enumerate(texts):
            self._emitted += 1
            if safe and index == final:
                self._safe, self._emitted = self._last, 0
            if self._skip:
                self._skip -= 1
            elif not (self._told and self._is_told(text)):
                out.append(OutLine(text, self._safe, self._emitted))
        if safe:
            self._safe, self._emitted = self._last, 0
