"""A prompt that stays at the top of the alternate screen while its answer scrolls beneath it is told once."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshd_core.contracts.kinds import TranscriptRules
from meshd_core.terminal.emulator import Emulator
from meshd_core.terminal.transcript import Transcript
from meshd_core.terminal.transcript_tape import compact

ROWS, COLS = 16, 60
VIEW = ROWS - 2


def view(said: list[str], prompt: list[str], at: int) -> list[str]:
    """The end of `said`; above it `prompt`, whose first row is at `at`, as one row once that has scrolled away."""
    if len(said) - at <= VIEW:
        return said[-VIEW:]
    header = " ".join(row.strip() for row in prompt)
    return [header if len(header) <= COLS else header[: COLS - 1] + "…", *said[1 - VIEW :]]


def lines_of(turns: list[tuple[list[str], list[str]]], steps: list[int], waits: list[float]) -> list[str]:
    """What is told of prompts and answers, as many rows of which appear at a time as `steps` says in turn."""
    now = 0.0
    emulator = Emulator(ROWS, COLS)
    transcript = Transcript(emulator, TranscriptRules(live=(r"^>",), echo=(r"^› ",)), lambda: now)
    lines = transcript.feed(b"\x1b[?1049h")
    said: list[str] = []
    count = 0
    for prompt, answer in turns:
        at = len(said)
        ends = [len(prompt)]
        while ends[-1] < len(prompt) + len(answer):
            ends.append(min(ends[-1] + steps[len(ends) % len(steps)], len(prompt) + len(answer)))
        for end in ends:
            rows = view([*said, *[*prompt, *answer][:end]], prompt, at)
            frame = "".join(
                f"\x1b[{y + 1}H{row}\x1b[K" for y, row in enumerate([*rows, *[""] * (VIEW - len(rows)), "> "])
            )
            lines += transcript.feed(f"\x1b[?2026h{frame}\x1b[?2026l".encode())
            until = now + waits[count % len(waits)]
            count += 1
            while (due := transcript.due()) is not None and due <= until:
                now = max(due, now)
                lines += transcript.tick()
            now = until
        said += [*prompt, *answer]
    now += 10
    lines += transcript.tick() + transcript.tick() + transcript.flush()
    emulator.close()
    return lines


@given(
    prompts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    length=st.integers(0, 60),
    steps=st.lists(st.integers(1, VIEW // 2), min_size=1, max_size=6),
    waits=st.lists(st.floats(0.02, 0.4), min_size=1, max_size=6),
)
@example(prompts=[1, 1, 1], length=50, steps=[1], waits=[0.02])
@example(prompts=[5], length=50, steps=[3, 1], waits=[0.3, 0.02])
@settings(max_examples=60, deadline=None)
def test_a_prompt_above_its_answer_is_told_once(
    prompts: list[int], length: int, steps: list[int], waits: list[float]
) -> None:
    turns = [
        (
            ["› y", *(f"  and {n} of {turn}" for n in range(1, rows))],
            [f"• answer row {n} to {turn}" for n in range(length)],
        )
        for turn, rows in enumerate(prompts)
    ]
    wanted = [row for prompt, answer in turns for row in [*prompt, *answer]]
    assert compact("".join(lines_of(turns, steps, waits))) == compact("".join(wanted))
