"""The beginning of a run: what an agent reports of itself then runs ahead of its screen, or is of its own affairs.

Measured: claude signals idleness up to 0.3 s before it draws its input box (after a trust or a login screen), codex
signals work for up to 0.1 s when nobody gave it any, until 0.3 s after its first idleness.
"""

from meshd_core.clock import monotonic
from meshd_core.contracts.kinds import Observation
from meshd_core.types import ActivityState

BOX_WITHIN_S = 2.0
"""So long an idleness that is only reported waits for the screen to show it too. Then no rule knows that screen."""


class OwnStart:
    """Of one run; `first_idle_s` is the profile's. Over once the agent was seen at work, or idle for so long.

    A screen that only a person gets the agent past begins it anew: what is reported meanwhile is of before its box.
    """

    def __init__(self, first_idle_s: float) -> None:
        self._first_idle_s = first_idle_s
        self._reported_since: float | None = None
        self._idle_since: float | None = None
        self._onboarding = self._over = False

    @property
    def over(self) -> bool:
        if self._idle_since is not None and monotonic() - self._idle_since >= self._first_idle_s:
            self._over = True
        return self._over

    @property
    def works_by_itself(self) -> bool:
        """Whether work that is only reported is nobody's."""
        return self._first_idle_s > 0 and not self.over

    def believes(self, report: Observation, *, seen_idle: bool) -> bool:
        """Whether `report` counts; `seen_idle`: the screen or the title shows idleness, or no rule ever could."""
        if report.source in ("screen", "title") or self.over:
            return True
        if report.state == "busy":
            return not self.works_by_itself
        if report.state != "idle":
            return True
        if self._onboarding:
            return seen_idle
        if self._reported_since is None:
            self._reported_since = monotonic()
        return seen_idle or monotonic() - self._reported_since >= BOX_WITHIN_S

    def told(self, state: ActivityState) -> None:
        """The run's activity is `state` now."""
        self._onboarding = state == "onboarding"
        if self._onboarding and not self.over:
            self._reported_since = self._idle_since = None
        elif state == "unknown" and not self.over:
            self._idle_since = None
        elif state == "idle" and self._idle_since is None:
            self._idle_since = monotonic()
        elif state not in ("idle", "unknown", "onboarding"):
            self._over = True

    def adopted(self) -> None:
        """The run is one that an earlier daemon saw begin."""
        self._over = True
