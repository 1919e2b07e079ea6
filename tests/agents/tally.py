"""Counts what becomes of the prompts that a test sends, for the report on live agents (`make record-prompts`)."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

from meshd_core.testing.corpus.floors import times
from meshd_core.testing.corpus.prompts import PromptScore
from meshd_core.types import Receipt

Outcome = Literal["once", "refused", "changed", "doubled", "lost"]


def outcome(*, refused: bool, got: list[str], want: str | None) -> Outcome:
    """What became of a prompt that had to reach the model as `want`, or that had to be `refused`."""
    if not got:
        return "refused" if refused else "lost"
    if len(got) > 1:
        return "doubled"
    return "once" if got == [want] and not refused else "changed"


class Tally:
    """Of one agent, over all tests of a module."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.delays: list[float] = []

    def add(self, agent: Any, receipt: Receipt | None, result: Outcome, got: list[str]) -> None:
        """One prompt; no receipt: the request was refused."""
        self._counts["sent"] += 1
        self._counts[result] += 1
        if receipt is None:
            return
        if "submitted" in receipt.stages and not got:
            self._counts["falsely_confirmed"] += 1
        if receipt.stage == "completed" and got:
            self._counts["replies"] += 1
            self._counts["replies_right"] += (receipt.reply or "").strip() == last_answer(agent).strip()

    def score(self, agent: Any) -> PromptScore:
        count = self._counts
        return PromptScore(
            agent.name, agent.version, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            count["sent"], count["once"], count["refused"], count["changed"], count["doubled"], count["lost"],
            count["falsely_confirmed"], count["replies"], count["replies_right"], times(self.delays),
        )  # fmt: skip


def last_answer(agent: Any) -> str:
    """The text that the model sent to the last request of a turn."""
    asked = next(one for one in reversed(agent.backend.received()) if one.tools)
    return str(next(one.text for one in agent.backend.answered() if one.answer_to == asked.id))
