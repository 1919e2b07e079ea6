"""Prompts are kept for the conversation within bounds."""

from meshd_core.clock import now_ms
from meshd_core.slots.conversation import KEPT_PROMPTS, KEPT_PROMPTS_BYTES, Prompts
from meshd_core.slots.receipts import Entry
from meshd_core.types import MAX_PROMPT_BYTES, Stage


def texts(sent: list[str]) -> list[str]:
    """What is kept of `sent`."""
    prompts = Prompts()

    def nothing(entry: Entry, *stages: Stage) -> None:
        pass

    record = prompts.noting(nothing)
    for number, text in enumerate(sent):
        entry = Entry(
            id=f"{number}@n", slot="s", node="n", text=text, submit=True, when="idle", created_ms=now_ms(),
            expires_ms=0, changes=(), principal="p", key=None, fingerprint="f",
        )  # fmt: skip
        record(entry, "writing")
        entry.cap()
        record(entry, "written", "entered")
        record(entry, "entered")
    return [one.text for one in prompts]


def test_the_newest_are_kept_up_to_a_number_and_a_size() -> None:
    assert texts([str(number) for number in range(KEPT_PROMPTS + 3)])[0] == "3"
    large = [f"{number:04}" + "ä" * (MAX_PROMPT_BYTES // 2 - 2) for number in range(100)]
    kept = texts([*large, "the last"])
    assert kept == [*large[101 - len(kept) :], "the last"]
    assert KEPT_PROMPTS_BYTES - MAX_PROMPT_BYTES < sum(len(text.encode()) for text in kept) <= KEPT_PROMPTS_BYTES
