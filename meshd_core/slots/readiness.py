"""Whether an agent can be typed to now, by what is known of its activity and by how long its terminal was silent."""

from collections.abc import Callable

from meshd_core.agent_records.turns import epoch_ms
from meshd_core.clock import now_ms
from meshd_core.contracts.kinds import KindProfile
from meshd_core.errors import SlotBusy, SlotWaiting
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.human_typing import TypingHold
from meshd_core.types import InjectRequest, QueueBlock

BLOCKED = frozenset({"waiting", "onboarding", "limited"})
_CALM_S = 0.2


class Readiness:
    """Judges for one slot's queue."""

    def __init__(
        self, slot: str, profile: KindProfile, tracker: ActivityTracker, silent_s: Callable[[], float]
    ) -> None:
        self._slot, self.profile, self._tracker, self._silent_s = slot, profile, tracker, silent_s
        self._settling = True

    def run_began(self) -> None:
        """The first idleness of the run must last before anything is typed."""
        self._settling = True

    @property
    def settling(self) -> bool:
        """Whether the agent has not yet been idle for its kind's `first_idle_s` in this run."""
        if self._settling and self._tracker.activity.state not in ("unknown", "onboarding"):
            idle_ms = now_ms() - epoch_ms(self._tracker.activity.since)
            self._settling = self._tracker.activity.state == "idle" and 0 <= idle_ms < self.profile.first_idle_s * 1000
        return self._settling and self._tracker.activity.state == "idle"

    def ready(self, steer: bool) -> bool:
        """Whether the next prompt can be typed; `steer`: into a busy agent, too."""
        state = self._tracker.activity.state
        if state == "idle":
            return True
        if steer:
            return state in ("busy", "stuck")
        return state == "unknown" and not self._tracker.has_evidence and self._silent_s() >= self.profile.quiet_s

    def obstacle(self, steer: bool) -> QueueBlock | None:
        """What of the agent forbids to type; None: nothing does."""
        state = self._tracker.activity.state
        if self.ready(steer) or state == "idle":
            return None
        return "quiet" if state == "unknown" and not steer and not self._tracker.has_evidence else state

    def calm(self) -> bool:
        """Whether nothing moves, so that a draft can be cleared."""
        return self._tracker.activity.state in ("idle", "unknown") and self._silent_s() >= _CALM_S

    def require(self, request: InjectRequest, queued: bool, human: TypingHold) -> None:
        """Raises SlotWaiting, HumanTyping or SlotBusy for a prompt that can't wait and can't be typed now."""
        if request.when == "idle":
            return
        activity = self._tracker.activity
        details = {"activity": activity}
        if activity.state in BLOCKED:
            hint = "answer the dialog first" if activity.state == "waiting" else None
            raise SlotWaiting(f"{self._slot} is {activity.state}", hint=hint, **details)
        human.require_over(self._slot)
        if request.when == "now" and (queued or not self.ready(steer=False)):
            raise SlotBusy(f"{self._slot} is {activity.state}", hint='use "when": "idle" to queue', **details)
