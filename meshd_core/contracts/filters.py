"""Output filters: what a slot's text passes through on every surface, in the configured order."""

from collections.abc import Sequence

IDLE_S = 0.25
"""A line that a filter holds back waits at most about so long for another one to come."""


class FilterStream:
    """One filter at work on one slot's lines. Deterministic: the same lines give the same result, however batched."""

    def feed(self, line: str) -> Sequence[str]:
        """Lines to emit for `line`: none (dropped or held back), one, or several."""
        return (line,)

    def pending(self) -> bool:
        """Whether lines are held back: after a crash, core feeds them again."""
        return False

    def idle(self) -> Sequence[str]:
        """Called when no line came for a moment (`IDLE_S`): what need not be held back any longer.

        How many lines come out for the lines that went in must not depend on whether and when it is called: after a
        crash, core feeds the lines that were held back again, and counts off those that were shown already.
        """
        return ()

    def flush(self) -> Sequence[str]:
        """What was held back, at the agent's exit."""
        return ()


class OutputFilter:
    """Base class of output filters; `name` is what `filters = [...]` of a slot refers to.

    If a filter raises, its output is withheld and says so, unless `fail_open`: redaction must never leak by failing.
    """

    name: str
    fail_open: bool = False

    def open(self, slot: str) -> FilterStream:
        """A new stream for one slot's lines: at each start of the daemon and of the agent, and when a reload changes
        the slot's filters.
        """
        return FilterStream()

    def block(self, text: str) -> str:
        """`text` (a screen, a title, a reply: may have several lines) as it may be shown.

        A filter that gives as many lines as it gets is also given what scrolled off above a screen, so that it can
        judge what goes on in the first rows.
        """
        return text
