"""What is decided of a slot before it lives, and what a changed configuration means for one that lives already."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.config.model import SlotSection
from meshd_core.contracts.filters import OutputFilter
from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.errors import SlotRemoved
from meshd_core.slots.launch import Launcher, Prepare
from meshd_core.types import ConfigState

AT_START = frozenset({"kind", "command", "args", "cwd", "env"})
"""What an agent is started with: a change of these can only count from its next start."""


class SlotPlan(Struct, frozen=True):
    """All that is decided of a slot before it lives."""

    section: SlotSection
    """`cwd` absolute."""
    node: str
    kind: AgentKind
    profile: KindProfile
    filters: list[OutputFilter]
    folder: Path
    """The slot's own in the state folder."""
    prepare: Prepare
    secret_names: frozenset[str]
    unavailable: str | None = None
    """Why this slot can't be started: its kind's plugin failed."""


def launcher_of(plan: SlotPlan) -> Launcher:
    """What plans the runs of a slot with this plan."""
    return Launcher(plan.section, plan.node, plan.kind, plan.profile, plan.prepare, plan.secret_names)


class Differences(Struct, frozen=True):
    """Keys of the slot's section that two plans differ in, in the order of the section."""

    at_once: tuple[str, ...]
    at_start: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        return [*self.at_once, *self.at_start]


def compare(now: SlotPlan, wanted: SlotPlan) -> Differences:
    """What differs, apart into what a living agent's slot can take up at once and what has to wait for a start."""
    found: tuple[list[str], list[str]] = ([], [])
    for name in SlotSection.__struct_fields__:
        if getattr(now.section, name) != getattr(wanted.section, name):
            found[_has_to_wait(name, now, wanted)].append(name)
    return Differences(tuple(found[0]), tuple(found[1]))


def merged(now: SlotPlan, wanted: SlotPlan, differences: Differences) -> SlotPlan:
    """`now` with everything of `wanted` that can be taken up at once."""
    taken = {name: getattr(wanted.section, name) for name in differences.at_once}
    return replace(
        now,
        section=replace(now.section, **taken),
        profile=wanted.profile if "options" in taken else now.profile,
        filters=wanted.filters,
        secret_names=wanted.secret_names,
    )


class LivingPlan:
    """What one slot lives by, what waits for its next start, and whether the file has the slot at all.

    `on_change(before)` is called after `now` has changed.
    """

    def __init__(self, plan: SlotPlan, on_change: Callable[[SlotPlan], None]) -> None:
        self.now = plan
        self.retired = False
        self._next: SlotPlan | None = None
        self._on_change = on_change

    @property
    def state(self) -> ConfigState:
        if self.retired:
            return "removed"
        return "live" if self._next is None else "stale"

    @property
    def upcoming(self) -> SlotPlan:
        """What the next start will be planned from. Raises SlotRemoved."""
        if self.retired:
            raise SlotRemoved(self.now.section.name)
        return self._next or self.now

    def update(self, plan: SlotPlan, alive: bool) -> Differences:
        """The configuration says `plan` now: with an agent alive, a part of it has to wait for the next start.

        What differs from what the slot lived by.
        """
        self.retired = False
        differences = compare(self.now, plan)
        waits = alive and bool(differences.at_start)
        self._next = plan if waits else None
        self._set(merged(self.now, plan, differences) if waits else plan)
        return differences

    def take_up(self) -> None:
        """A start is about to be planned: what waited for it counts now. Raises SlotRemoved."""
        plan, waited = self.upcoming, self._next is not None
        if waited:
            self._next = None
            self._set(plan)

    def _set(self, plan: SlotPlan) -> None:
        before, self.now = self.now, plan
        self._on_change(before)


def _has_to_wait(name: str, now: SlotPlan, wanted: SlotPlan) -> bool:
    if name == "options":
        if now.kind is not wanted.kind or wanted.unavailable is not None:
            return True
        return with_times_of(now.profile, wanted.profile) != wanted.profile
    if name == "api":
        return now.section.api == "none"  # the agent was started without a token
    return name in AT_START


def with_times_of(profile: KindProfile, other: KindProfile) -> KindProfile:
    """`profile` with all of `other`'s timers: they are the part of a kind's options that can change at any time."""
    return replace(
        profile,
        quiet_s=other.quiet_s,
        stuck_after_s=other.stuck_after_s,
        submit=replace(
            profile.submit, settle_s=other.submit.settle_s, min_settle_s=other.submit.min_settle_s,
            confirm_s=other.submit.confirm_s,
        ),
        exit=replace(profile.exit, grace_s=other.exit.grace_s, term_grace_s=other.exit.term_grace_s),
    )  # fmt: skip
