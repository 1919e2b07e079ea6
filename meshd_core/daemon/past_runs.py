"""By what a run lives that an earlier daemon started: its record, whatever the configuration says by now."""

import logging
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from meshd_core.config.model import SlotSection
from meshd_core.contracts.filters import FilterStream, OutputFilter
from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.plan import SlotPlan
from meshd_core.slots.run_record import ENV_DIGEST, RunRecord, env_digest

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


class Withheld(OutputFilter):
    """Stands in for a filter that isn't there any more: nothing is shown."""

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self, slot: str) -> FilterStream:
        raise LookupError(f"the filter {self.name!r} is not installed any more")

    def block(self, text: str) -> str:
        raise LookupError(f"the filter {self.name!r} is not installed any more")


class GoneKind(AgentKind):
    """Stands in for a kind that can't be had: what runs is shown, nothing can be started."""

    def __init__(self, name: str, reason: str) -> None:
        self.profile = KindProfile(name=name, title=name, commands=(), install_hint=reason)


def plan_of_run(
    child: ChildInfo, record: RunRecord | None, template: SlotPlan, wanted: SlotPlan | None,
    kinds: Mapping[str, AgentKind], filters: Mapping[str, OutputFilter],
) -> SlotPlan:  # fmt: skip
    """The plan that `child` was started by. `wanted`: what the file says of its slot, if it has it; `template`: for
    all that a record doesn't tell.

    Without a record the file is believed; without either nothing is known, and nothing is shown.
    """
    if record is None:
        if wanted is not None:
            return wanted
        record = RunRecord(section=SlotSection(name=child.slot, kind=UNKNOWN, filters=[UNKNOWN]))
    section = record.section
    if wanted is not None:
        now = wanted.section
        known = child.meta.get(ENV_DIGEST, env_digest(now)) == env_digest(now)
        section = replace(
            section, labels=now.labels, restart=now.restart, resume=now.resume, autostart=now.autostart,
            env=now.env if known else section.env,
        )  # fmt: skip
    kind = kinds.get(section.kind) or GoneKind(section.kind, f"kind {section.kind!r} is not installed")
    return replace(
        template,
        section=section,
        kind=kind,
        profile=_profile(kind, section, wanted),
        filters=[filters.get(name) or Withheld(name) for name in section.filters],
        unavailable=None,
    )


def _profile(kind: AgentKind, section: SlotSection, wanted: SlotPlan | None) -> KindProfile:
    if wanted is not None and wanted.kind is kind and wanted.section.options == section.options:
        return wanted.profile
    try:
        shape = kind.options_type()
        return kind.profile_for(None if shape is None else msgspec.convert(section.options, shape))
    except Exception:
        # A plugin's code, or options of another version of it.
        log.exception("kind failed to make a profile", extra={"slot": section.name, "kind": section.kind})
        return kind.profile
