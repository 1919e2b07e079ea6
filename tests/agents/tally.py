"""Counts what becomes of the prompts that a test sends, for the report on live agents (`make record-prompts`)."""

from collections import Counter
from collections.abc import Callable
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

    def __init__(self, as_logged: Callable[[str], str]) -> None:
        """`as_logged`: what the agent's own log, which replies are from, makes of what the model says."""
        self._counts: Counter[str] = Counter()
        self._as_logged = as_logged
        self.delays: list[float] = []
        self.unexplained: list[tuple[str | None, str]] = []
        """Receipts' replies, each with what the model said, that aren't even what the agent's log makes of it."""

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
            said, reply = last_answer(agent).strip(), (receipt.reply or "").strip()
            self._counts["replies_right"] += reply == said
            if reply not in (said, self._as_logged(said)):
                self.unexplained.append((receipt.reply, said))

    def score(self, agent: Any, note: str) -> PromptScore:
        """`note`: why replies are not what the model said, where that explains all of them."""
        count = self._counts
        explained = count["replies_right"] < count["replies"] and not self.unexplained
        return PromptScore(
            agent.name, agent.version, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            count["sent"], count["once"], count["refused"], count["changed"], count["doubled"], count["lost"],
            count["falsely_confirmed"], count["replies"], count["replies_right"], times(self.delays),
            note if explained else "",
        )  # fmt: skip


def last_answer(agent: Any) -> str:
    """The text that the model sent to the last request of a turn."""
    asked = next(one for one in reversed(agent.backend.received()) if one.tools)
    return str(next(one.text for one in agent.backend.answered() if one.answer_to == asked.id))
