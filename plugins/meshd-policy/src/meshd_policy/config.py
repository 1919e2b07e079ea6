"""`[plugins.policy]`: rules for prompts, and what holds for every launch."""

import re
from datetime import time
from typing import Annotated

import regex
from msgspec import Meta, Struct, field

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Deny(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: a prompt that meets all of its conditions is refused. Globs know `*`, `?` and `[...]`."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: str = ""
    """What the caller is told."""
    slots: tuple[str, ...] = ()
    """Globs on slot names; none: all slots. So with the other conditions."""
    kinds: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    """Labels that the slot has; values are globs."""
    subjects: tuple[str, ...] = ()
    """Globs on who calls, as the audit log names them: `token:ci`, `local:1000`."""
    except_subjects: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that is found in the prompt."""
    longer_than: Annotated[int, Meta(ge=0)] | None = None
    """Characters."""
    outside_hours: str | None = None
    """`08:00-18:00`, in the daemon's local time; `22:00-06:00` goes over midnight."""

    def __post_init__(self) -> None:
        if self.pattern is not None:
            try:
                regex.compile(self.pattern)
            except regex.error as error:
                raise ValueError(f"rule {self.name!r}: the pattern is not a regular expression: {error}") from None
        if self.outside_hours is not None and _HOURS.fullmatch(self.outside_hours) is None:
            raise ValueError(f"rule {self.name!r}: write outside_hours as '08:00-18:00'")
        if not any((self.slots, self.kinds, self.labels, self.subjects, self.except_subjects, self.pattern,
                    self.longer_than is not None, self.outside_hours)):  # fmt: skip
            raise ValueError(f"rule {self.name!r} has no condition, and would refuse every prompt")

    @property
    def words(self) -> str:
        return self.reason or f"the site's rule {self.name!r} is against it"

    @property
    def hours(self) -> tuple[time, time] | None:
        """From when until when prompts are allowed."""
        match = None if self.outside_hours is None else _HOURS.fullmatch(self.outside_hours)
        return None if match is None else (time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))


class LaunchRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every launch."""

    env_dir: str | None = None
    """A folder with a file `<slot>.env` (0600) for each slot that needs one: lines `NAME=value`, taken as they are."""
    nice: Annotated[int, Meta(ge=0, le=19)] = 0
    """How much agents yield to other processes."""
    cwd_roots: tuple[str, ...] = ()
    """Folders below which agents may be started, symlinks followed; none: anywhere."""
    commands: tuple[str, ...] = ()
    """Globs on the programs that may be started, by name or whole path; none: any."""


class PolicyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    deny: tuple[Deny, ...] = ()
    launch: LaunchRules = field(default_factory=LaunchRules)
