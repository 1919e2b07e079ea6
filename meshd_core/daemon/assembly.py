"""From a checked configuration to slots that are ready to live."""

import logging
from collections.abc import Iterator
from functools import partial

import msgspec

from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.config.check import CheckedConfig, CheckedSlot
from meshd_core.config.model import SlotSection
from meshd_core.config.places import Places, private_dir
from meshd_core.contracts.kinds import AgentKind
from meshd_core.daemon.past_runs import UNKNOWN, GoneKind, plan_of_run
from meshd_core.errors import StartFailed
from meshd_core.events import EventBus
from meshd_core.plugins.host import PluginHost
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.ending import KeeperLink
from meshd_core.slots.launch import Launcher
from meshd_core.slots.plan import SlotPlan
from meshd_core.slots.receipts import ReceiptStore
from meshd_core.slots.run_record import RECORD_NAME, RunFile
from meshd_core.slots.slot import Slot
from meshd_core.terminal.journal import Journal

log = logging.getLogger(__name__)


def start_obstacles(config: CheckedConfig, host: PluginHost) -> Iterator[StartFailed]:
    """What keeps slots from starting that are to be started with the daemon: no such program, no such folder."""
    for checked in config.slots:
        if not checked.section.autostart or checked.unavailable is not None:
            continue
        section = msgspec.structs.replace(checked.section, cwd=checked.cwd)
        kind = host.kinds[section.kind]
        try:
            profile = kind.profile_for(checked.options)
        except Exception:
            log.exception("kind failed to make a profile", extra={"slot": section.name, "kind": section.kind})
            continue  # a plugin's fault, told with its slot
        try:
            Launcher(section, config.node, kind, profile, host.prepare_launch, config.secret_names).check()
        except StartFailed as error:
            yield error


class SlotMaker:
    """Makes plans and slots for one daemon."""

    def __init__(
        self, host: PluginHost, keeper: KeeperLink, store: ReceiptStore, places: Places, bus: EventBus,
        agents: AgentTokens,
    ) -> None:  # fmt: skip
        self._host, self._keeper, self._store, self._bus, self._agents = host, keeper, store, bus, agents
        self._folder = places.state_dir / "slots"

    def plan(self, checked: CheckedSlot, secret_names: frozenset[str]) -> SlotPlan:
        """What the configuration asks for; touches no disk."""
        section = checked.section
        kind, unavailable = self._kind(checked)
        try:
            profile = kind.profile_for(checked.options)
        except Exception as error:
            # A plugin's code: its slots can't start, the others can.
            log.exception("kind failed to make a profile", extra={"slot": section.name, "kind": section.kind})
            unavailable = f"kind {section.kind!r} failed for this slot: {type(error).__name__}"
            profile = kind.profile
        return SlotPlan(
            section=msgspec.structs.replace(section, cwd=checked.cwd),
            node=self._bus.node,
            kind=kind,
            profile=profile,
            filters=[self._host.filters[name] for name in section.filters],
            folder=self._folder / section.name,
            prepare=self._host.prepare_launch,
            secret_names=secret_names,
            unavailable=unavailable,
        )

    def plan_of_run(self, child: ChildInfo, wanted: SlotPlan | None, secret_names: frozenset[str]) -> SlotPlan:
        """By what a run lives that an earlier daemon started; `wanted`: what the file says of its slot by now."""
        folder = self._folder / child.slot
        template = wanted or SlotPlan(
            section=SlotSection(name=child.slot, kind=UNKNOWN), node=self._bus.node, kind=GoneKind(UNKNOWN, ""),
            profile=GoneKind(UNKNOWN, "").profile, filters=[], folder=folder, prepare=self._host.prepare_launch,
            secret_names=secret_names,
        )  # fmt: skip
        record = RunFile(folder / RECORD_NAME).read()
        return plan_of_run(child, record, template, wanted, self._host.kinds, self._host.filters)

    def journal(self, plan: SlotPlan) -> Journal:
        """The slot's journal, made if there is none. Blocks. Raises OSError (disk full), PlaceError, JournalInUse."""
        private_dir(plan.folder)
        return Journal.open(plan.folder / "journal")

    def slot(self, plan: SlotPlan, journal: Journal) -> Slot:
        tell = partial(self._bus.publish, plan.section.name)
        return Slot(plan, journal, self._keeper, self._store, tell, self._agents)

    def _kind(self, checked: CheckedSlot) -> tuple[AgentKind, str | None]:
        name = checked.section.kind
        if checked.unavailable is not None:
            return GoneKind(name, checked.unavailable), checked.unavailable
        return self._host.kinds[name], None
