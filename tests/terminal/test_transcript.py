"""From recordings of real agents to the lines that a person read: each once, in order, without the furniture.

The recordings (asciicast v2) were made at 120 by 40 with a backend whose answers are known; marks name the steps.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator, Scrolled, Signal
from meshd_core.terminal.transcript import PRIMARY_STEP, Transcript
from meshd_core.types import ActivityState

RECORDINGS = Path(__file__).parent / "recordings"
CLAUDE = TranscriptRules(
    live=(
        # The input box: rule, prompt (up to 30 rows of text), rule; what lies below is status.
        r"^─{20,}[^\n]*\n[❯!#&][^\n]*\n(?:(?!─{20,})[^\n]*\n){0,30}?─{20,}",
        # A dialog: rule, anything without a rule, the marked first option.
        r"^─{20,}[^\n]*\n(?=(?:(?!─{20,})[^\n]*\n){0,30}\s*❯\s1\.\s)",
        # The command menu that opens above the box.
        r"^\s+❯\s/\S+\s{2,}\S",
    ),
    drop=(
        r"^\s?[▐▝▘ ]{1,3}[▛▜█▝▘▐▌▙▟ ]{3,}",
        r"^[✻✶✳✽✢·*]\s\S+(?:\s\S+){0,6}(?:…| for \d+)",
        r"◐\s\w+\s·\s/effort$",
        r"^\s+⎿\s+(?:Tip: |Waiting…|Running…)",
        r"^●?\s*Waiting for permission…",
        r"^●\s*$",
        r"^[─╌]{20,}$",
    ),
    echo=(r"^❯\s",),
)
OPENCODE = TranscriptRules(
    live=(
        # The input box of the default screen; a prompt's echo has the same gutter but no foot.
        r"^ *┃ *\n(?: *┃[^\n]*\n){1,30}? *╹▀+",
        r"^ *┃? *△ Permission required",
        # --mini: what is typed, an empty row, the status row.
        r"^(?:[^\n]+\n){0,30}\n [A-Z]+ {4,}[^\n]*ctrl\+p cmd",
    ),
    drop=(
        r"^[ █▀▄]+$",
        r"^█[▀ ]+█  (?:OpenCode|/)",
        r"^\s*▣\s",
        r"^ *Ask anything\.\.\.",
    ),
    strip=(r"^ {2}┃ {0,2}", r"^ {5}"),
    echo=(r"^ {2}┃ {2}", r"^› "),
)
HELLO = "FAKE-REPLY lines=1 chars=11 first='hello there' last='hello there'"
LONG = [*(f"line {n:02} of a long answer" for n in range(60)), "LONG-END."]
STEPS = {
    "short": ["hello there", HELLO],
    "long": ["please LONG", *LONG],
    "md": ["some MD", "Title", "Some bold text.", "print('hi')", "- one", "- two", "MD-END."],
    "slow": ["go SLOW4", " ".join(f"slowword{n}" for n in range(8)) + " SLOW-END."],
    "tool": ["use TOOL now", "TOOL-FINISHED final answer."],
    "paste": [
        *(f"{nth} pasted line" for nth in ("first", "second", "third")),
        "FAKE-REPLY lines=3 chars=54 first='first pasted line' last='third pasted line'",
    ],
    "bigpaste": [f"pasted row {n}" for n in range(12)],
}
ALSO = re.compile(
    r"(Creating file x|Ran 1 shell command|Bash\(touch x\)|⎿ .*|\$ touch x|\(no output\)|id=\"\w+\">'"
    r"|FAKE-REPLY lines=1[24] .*|Resume this session with:|claude .*--resume .*|(Session|Continue) .*)"
)
"""Lines that belong to the transcript but not to the backend's answers: tool calls, farewells."""


class Recording(NamedTuple):
    name: str
    rules: TranscriptRules
    in_order: bool = True


CLAUDE_ALTERNATE = Recording("claude-2.1.330-alternate", CLAUDE)
CLAUDE_INLINE = Recording("claude-2.1.330-inline", CLAUDE)
OPENCODE_ALTERNATE = Recording("opencode-1.18.33-alternate", OPENCODE)
OPENCODE_MINI = Recording("opencode-1.18.33-mini", OPENCODE)
ALL = pytest.mark.parametrize(
    "recording", [CLAUDE_ALTERNATE, CLAUDE_INLINE, OPENCODE_ALTERNATE, OPENCODE_MINI], ids=lambda r: r.name
)


@cache
def events(name: str) -> tuple[tuple[float, str, str], ...]:
    """The recording's events; "m" events name the step that was done."""
    with gzip.open(RECORDINGS / f"{name}.cast.gz", "rt", encoding="utf-8") as file:
        return tuple(tuple(json.loads(line)) for line in file.readlines()[1:])


class Session:
    """A recording that is played to a transcript on the recording's own clock, as the daemon would do it."""

    def __init__(self, recording: Recording) -> None:
        self._rules = recording.rules
        self.now = 0.0
        self._size = self._safe_size = (40, 120)
        self.lines: list[str] = []
        self._raw = b""
        self._safe = 0
        self._begin()

    def _begin(self) -> None:
        self.emulator = Emulator(*self._safe_size, on_signal=self._signal)
        self.transcript = Transcript(self.emulator, self._rules, lambda: self.now)

    def _signal(self, signal: Signal) -> None:
        states: dict[str, ActivityState] = {"working": "busy", "blocked": "waiting"}
        self.transcript.set_activity(states.get(signal.state, "idle"))

    def _add(self, lines: list[str]) -> None:
        if lines:
            self.lines += lines
            self._safe, self._safe_size = self.transcript.consumed, self._size

    def until(self, time: float) -> None:
        while (due := self.transcript.due()) is not None and due <= time:
            self.now = max(self.now, due)
            self._add(self.transcript.tick())
        self.now = time

    def play(self, time: float, kind: str, data: str) -> None:
        self.until(time)
        if kind == "o":
            self._raw += data.encode()
            self._add(self.transcript.feed(data.encode()))
            if self._rules is OPENCODE:
                self.transcript.set_activity("busy" if "esc interrupt" in self.emulator.text() else "idle")
        elif kind == "r":
            cols, rows = map(int, data.split("x"))
            self._size = (rows, cols)
            self._add(self.transcript.resize(rows, cols))

    def adopt(self) -> None:
        """The daemon died and another one goes on with the journal's lines and raw bytes."""
        self.emulator.close()
        self._begin()
        self.transcript.restore(self.lines)
        rest = self._raw[self._safe :]
        with self.emulator.replaying():
            assert self.transcript.feed(self._raw[: self._safe]) == []
        if self._size != self._safe_size:
            self._add(self.transcript.resize(*self._size))
        self._add(self.transcript.feed(rest))

    def end(self) -> list[str]:
        self.until(self.now + 10)
        assert self.transcript.due() is None
        self._add(self.transcript.flush())
        self.emulator.close()
        return self.lines


def play(recording: Recording, *, adopt_at: float | None = None) -> list[str]:
    session = Session(recording)
    for event in events(recording.name):
        if adopt_at is not None and event[0] > adopt_at:
            adopt_at = None
            session.adopt()
        session.play(*event)
    return session.end()


def bare(line: str) -> str:
    """A line without indentation and the mark of who speaks."""
    return re.sub(r"^[●❯›]\s?", "", line.strip()).strip()


def wanted(recording: Recording) -> list[str]:
    return [line for _, kind, step in events(recording.name) if kind == "m" for line in STEPS.get(step, [])]


def check(recording: Recording, lines: list[str]) -> None:
    got, want = [bare(line) for line in lines if line.strip()], wanted(recording)
    expected = Counter(want)
    extra = [line for line in got if line not in expected]
    assert Counter(line for line in got if line in expected) == expected
    assert [line for line in extra if not ALSO.fullmatch(line) and "pasted_content" not in line] == []
    if recording.in_order:
        assert [line for line in got if line in expected] == want


@ALL
def test_every_line_of_a_real_session_comes_once_and_nothing_else(recording: Recording) -> None:
    lines = play(recording)
    check(recording, lines)
    assert not any("" == a == b for a, b in pairwise(lines))
    assert not any(set(line) & set("│┃╭╮╰╯▀▄█⠋⠙⠹") or line.startswith("──") for line in lines)


def test_spaces_and_indentation_are_kept() -> None:
    lines = play(CLAUDE_INLINE)
    assert "  line 01 of a long answer" in lines
    assert lines[lines.index("  MD-END.") - 3 : lines.index("  MD-END.")] == ["  - one", "  - two", ""]


@ALL
@pytest.mark.parametrize("part", [0.12, 0.25, 0.5, 0.82, 0.85, 0.95])
def test_after_an_adoption_no_line_is_missing_or_doubled(recording: Recording, part: float) -> None:
    check(recording, play(recording, adopt_at=events(recording.name)[-1][0] * part))


def frozen(recording: Recording, cuts: Callable[[int], Iterator[int]]) -> list[str]:
    """The lines if time stands still, the output cut at `cuts`: only the stream decides what is looked at."""
    data = "".join(text for _, kind, text in events(recording.name) if kind == "o").encode()
    emulator = Emulator(40, 120)
    transcript = Transcript(emulator, recording.rules, lambda: 0.0)
    lines: list[str] = []
    position = 0
    for size in cuts(len(data)):
        lines += transcript.feed(data[position : position + size])
        position += size
    assert position >= len(data)
    lines += transcript.flush()
    emulator.close()
    return lines


def fixed(size: int) -> Callable[[int], Iterator[int]]:
    return lambda total: iter([size] * (total // size + 1))


@ALL
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=4, deadline=None)
def test_how_the_output_is_cut_into_chunks_changes_nothing(recording: Recording, seed: int) -> None:
    random = Random(seed)

    def cuts(total: int) -> Iterator[int]:
        while total > 0:
            size = random.choice([1, 2, 3, 7, 50, 1000, 8192, 20_000])
            total -= size
            yield size

    assert frozen(recording, cuts) == frozen(recording, fixed(1 << 20))


def flood(rules: TranscriptRules, data: bytes, step: int) -> list[str]:
    now = 0.0
    emulator = Emulator(40, 120)
    transcript = Transcript(emulator, rules, lambda: now)
    lines: list[str] = []
    for start in range(0, len(data), step):
        lines += transcript.feed(data[start : start + step])
        now += 0.001
    now += 10
    lines += transcript.tick() + transcript.tick() + transcript.flush()
    emulator.close()
    return lines


@pytest.mark.parametrize(
    "row", ["line {}", "same", "\x1b[3{}mcolour\x1b[m " + "word " * 40, "日本語テキスト{} " * 12, "é"]
)
def test_a_flood_comes_out_exactly(row: str) -> None:
    rows = [row.replace("{}", str(n % 8)) for n in range(4000)]
    plain = [re.sub(r"\x1b\[\d*m", "", line).rstrip() for line in rows]
    assert flood(TranscriptRules(), "\r\n".join([*rows, ""]).encode(), 4096) == plain


def test_a_flood_of_frames_is_looked_at_no_more_than_twice_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    take = Emulator.take_scrollback

    def counted(emulator: Emulator, *, joined: bool = True) -> Scrolled:
        looks.append(joined)
        return take(emulator, joined=joined)

    monkeypatch.setattr(Emulator, "take_scrollback", counted)
    frame = "\x1b[2K\x1b[1A\x1b[2K\rline {} of many\r\nprogress\r\n"
    data = "".join(frame.format(n) for n in range(10_000)).encode()
    assert len([line for line in flood(TranscriptRules(), data, 65_536) if "of many" in line]) > 9_000
    assert len(looks) <= 2 * len(data) / PRIMARY_STEP + 30


def test_a_line_without_end_comes_in_pieces_and_holds_no_memory() -> None:
    lines = flood(TranscriptRules(), b"x" * 300_000 + b"\r\n", 65_536)
    assert "".join(lines) == "x" * 300_000
    assert max(map(len, lines)) < 40_000
