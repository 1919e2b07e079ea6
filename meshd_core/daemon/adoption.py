"""The slots at the daemon's start: those of the file, those that only still run, and the agents that they take over."""

import logging

from meshd_core.config.check import CheckedConfig
from meshd_core.daemon.assembly import SlotMaker
from meshd_core.daemon.live_slots import LiveSlots
from meshd_core.pty.errors import KeeperError
from meshd_core.pty.messages import ChildInfo
from meshd_core.registry import Registry
from meshd_core.slots.plan import SlotPlan
from meshd_core.slots.slot import Slot

log = logging.getLogger(__name__)


class Adoption:
    """`adopted`: the slots that had a run; `strangers`: runs beside the one that their slot took over."""

    def __init__(self, maker: SlotMaker, registry: Registry[Slot], live: LiveSlots) -> None:
        self._maker, self._registry, self._live = maker, registry, live
        self.adopted: set[str] = set()
        self.strangers: list[ChildInfo] = []

    async def open_slots(self, config: CheckedConfig, children: list[ChildInfo]) -> None:
        """Have all slots live, and take over every run of the keeper. Raises OSError (disk full), JournalInUse.

        A run is taken over with what it was started with; what the file says differently by now comes after that. A
        slot that the file has no more stays for as long as its agent runs.
        """
        names = config.secret_names
        wanted = {checked.section.name: self._maker.plan(checked, names) for checked in config.slots}
        runs = {child.slot: child for child in children}
        plans = {name: self._maker.plan_of_run(child, wanted.get(name), names) for name, child in runs.items()}
        for name in dict.fromkeys([*wanted, *runs]):
            await self._open(plans.get(name) or wanted[name])
        for child in children:
            await self._adopt(child)
        for slot in list(self._registry):
            self._settle(slot, wanted.get(slot.name))

    async def _open(self, plan: SlotPlan) -> None:
        slot = self._maker.slot(plan, self._maker.journal(plan))
        self._registry.add(slot.name, slot)
        await self._live.begin(slot)

    async def _adopt(self, child: ChildInfo) -> None:
        slot = self._registry.find(child.slot)
        if slot is None or slot.child is not None:
            log.warning("the keeper has a second run of a slot", extra={"slot": child.slot, "pid": child.pid})
            self.strangers.append(child)
            return
        self.adopted.add(child.slot)
        try:
            await slot.adopt(child)
        except (KeeperError, OSError) as error:
            log.error("run not adopted", extra={"slot": child.slot, "pid": child.pid, "reason": str(error)})

    def _settle(self, slot: Slot, wanted: SlotPlan | None) -> None:
        if slot.name not in self.adopted:
            slot.not_adopted()  # nothing is left that could be typed to
        elif wanted is not None:
            slot.update(wanted)
        else:
            log.warning("an agent runs whose slot the configuration has no more", extra={"slot": slot.name})
            slot.retire()
            self._live.remove_when_over(slot)
