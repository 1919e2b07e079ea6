"""When a limit ends, by what the screen says is left of it (`in 12s`): a point in time that stands still."""

import re

from meshd_core.clock import now_ms, rfc3339
from meshd_core.contracts.kinds import TIME_UNITS

SLACK_MS = 2000
"""A countdown that is rounded to seconds and looked at now and then moves its end by less."""
_LONGEST_S = 366 * 86_400


class Countdown:
    """Of one slot. Some programs draw the seconds anew each second, others draw them once: both have one end."""

    def __init__(self) -> None:
        self._said: tuple[str, int] | None = None
        self._ends_ms = 0

    def ends_at(self, rule: str, match: re.Match[str]) -> str | None:
        """The end by the wire's clock, from the groups `hours`, `minutes` and `seconds`; None if `match` has none."""
        left_ms = _left_ms(match)
        if left_ms is None:
            return None
        said = rule, left_ms
        ends_ms = now_ms() + left_ms
        if self._said is None or (said != self._said and abs(ends_ms - self._ends_ms) > SLACK_MS):
            self._ends_ms = ends_ms
        self._said = said
        return rfc3339(self._ends_ms)

    def over(self) -> None:
        """Nothing is counted down any more."""
        self._said = None


def _left_ms(match: re.Match[str]) -> int | None:
    said = {name: text for name, text in match.groupdict().items() if name in TIME_UNITS and text}
    try:
        left_s = sum(float(text) * TIME_UNITS[name] for name, text in said.items())
    except ValueError:
        return None  # a pattern that takes something else for a number
    return round(min(left_s, _LONGEST_S) * 1000) if said else None
