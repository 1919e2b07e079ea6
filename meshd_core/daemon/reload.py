"""Reloading: the file is read and judged whole, then counts in one step; a bad file changes nothing.

The step itself has no wait in it. What follows from it (stopping what was removed, starting what was added) waits for
agents, and the answer for that. One reload at a time.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.auth.chain import AuthChain
from meshd_core.config.check import CheckedConfig
from meshd_core.daemon.assembly import SlotMaker
from meshd_core.daemon.judging import Judge
from meshd_core.daemon.live_slots import LiveSlots
from meshd_core.errors import MeshdError, Overloaded, SlotsStillRunning
from meshd_core.exit_codes import StartupError
from meshd_core.fleet.fleet import Fleet
from meshd_core.mesh.mesh import Mesh
from meshd_core.plugins.host import PluginHost
from meshd_core.pty.errors import KeeperError
from meshd_core.registry import Registry
from meshd_core.slots.plan import SlotPlan
from meshd_core.slots.slot import Slot
from meshd_core.terminal.journal import JournalInUse
from meshd_core.types import NodeChange, ReloadReport, ReloadRequest, SlotChange

log = logging.getLogger(__name__)


class ReloadParts(Struct, frozen=True):
    """What a reload works on. `apply_http(config)` hands the server its part; `require_going_on()` raises Draining."""

    judge: Judge
    maker: SlotMaker
    registry: Registry[Slot]
    live: LiveSlots
    host: PluginHost
    chain: AuthChain
    mesh: Mesh
    fleet: Fleet
    apply_http: Callable[[CheckedConfig], None]
    require_going_on: Callable[[], None]


class Reloader:
    """Applies a changed configuration while everything runs."""

    def __init__(self, parts: ReloadParts) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()

    async def reload(self, request: ReloadRequest) -> ReloadReport:
        """Read the file again.

        Raises ConfigInvalid, SlotsStillRunning, Overloaded, Draining; nothing was changed then.
        """
        async with self._lock:
            parts = self._parts
            config = await parts.judge.read()
            needs_restart = await parts.judge.needs_restart(config)
            plans = {slot.section.name: parts.maker.plan(slot, config.secret_names) for slot in config.slots}
            added = await self._prepared(plans)
            try:
                parts.require_going_on()
                self._require_ended(plans, request.stop_removed)
            except MeshdError:
                for slot in added:
                    await parts.live.end(slot)
                raise
            step = _Step(parts, plans, added)
            step.take(config, request.stop_removed)
            warnings = [str(warning) for warning in config.warnings]
            warnings += await step.follow(request.restart == "changed")
            return ReloadReport(slots=step.changes(), needs_restart=needs_restart, warnings=warnings, nodes=step.nodes)

    async def _prepared(self, plans: dict[str, SlotPlan]) -> list[Slot]:
        """A slot for each plan that has none, alive and unknown to everyone.

        Raises Overloaded if one can't be had; then none is left.
        """
        parts, added = self._parts, dict[str, Slot]()
        # Looked for anew after each wait: one that was removed, and is wanted again, goes when its agent ends.
        while missing := [name for name in plans if name not in added and parts.registry.find(name) is None]:
            name = missing[0]
            try:
                await parts.live.gone(name)
                slot = parts.maker.slot(plans[name], await asyncio.to_thread(parts.maker.journal, plans[name]))
                await parts.live.begin(slot)
            except (OSError, StartupError, JournalInUse) as error:
                for slot in added.values():
                    await parts.live.end(slot)
                hint = "free space where the state folder lies; nothing was changed"
                raise Overloaded(f"slot {name} can't be made: {error}", hint=hint) from error
            added[name] = slot
        return list(added.values())

    def _require_ended(self, plans: dict[str, SlotPlan], stop_removed: bool) -> None:
        registry = self._parts.registry
        alive = [slot.name for slot in registry if slot.name not in plans and slot.alive and slot.config != "removed"]
        if alive and not stop_removed:
            raise SlotsStillRunning(
                f"the file has no slot {', '.join(alive)} any more, but agents run there; nothing was changed",
                hint="stop them, put them back, or reload with stop_removed ('meshd reload --stop-removed')",
                slots=alive,
            )


class _Step:
    """One reload from the moment that it counts."""

    def __init__(self, parts: ReloadParts, plans: dict[str, SlotPlan], added: list[Slot]) -> None:
        self._parts, self._plans, self._added = parts, plans, added
        self._changes: dict[str, SlotChange] = {}
        self._removed: list[Slot] = []
        self.nodes: list[NodeChange] = []

    def changes(self) -> list[SlotChange]:
        return list(self._changes.values())

    def take(self, config: CheckedConfig, stop_removed: bool) -> None:
        """Everything that counts at once, without a wait between."""
        parts = self._parts
        parts.chain.use([parts.host.auth_providers[name] for name in config.config.auth.providers])
        parts.apply_http(config)
        self.nodes = parts.mesh.update(replace(config, node=parts.registry.node))
        for slot in list(parts.registry):
            plan = self._plans.get(slot.name)
            if plan is not None:
                self._update(slot, plan)
            elif slot.config != "removed" or stop_removed:
                slot.retire()
                self._removed.append(slot)
                self._changes[slot.name] = SlotChange(slot=slot.name, change="removed")
        for slot in self._added:
            parts.registry.add(slot.name, slot)
            self._changes[slot.name] = SlotChange(slot=slot.name, change="added")
            slot.appeared()
        parts.registry.reorder(list(self._plans))
        parts.fleet.update(config.sinks)  # it tells that the node has read its configuration again

    def _update(self, slot: Slot, plan: SlotPlan) -> None:
        before, differences = slot.config, slot.update(plan)
        if before == "live" and not differences.all:
            return
        change: SlotChange = SlotChange(
            slot=slot.name, change="stale" if slot.config == "stale" else "updated", settings=differences.all
        )
        self._changes[slot.name] = change

    async def follow(self, restart_changed: bool) -> list[str]:
        """Stop what was removed, start what was added, and restart what is stale if asked to; what went wrong."""
        work: list[Coroutine[Any, Any, str | None]] = [self._remove(slot) for slot in self._removed]
        work += [self._start(slot) for slot in self._added if slot.section.autostart]
        if restart_changed:
            work += [self._restart(slot) for slot in self._parts.registry if slot.config == "stale"]
        return [warning for warning in await asyncio.gather(*work) if warning is not None]

    async def _remove(self, slot: Slot) -> str | None:
        if slot.alive:
            try:
                await slot.stop()
            except (MeshdError, KeeperError) as error:
                if slot.alive:
                    self._parts.live.remove_when_over(slot)
                    return f"slot {slot.name} was not stopped and stays listed as removed: {error}"
        await self._parts.live.remove(slot)
        return None

    async def _start(self, slot: Slot) -> str | None:
        try:
            await slot.start()
        except (MeshdError, KeeperError) as error:
            return f"slot {slot.name} was not started: {error}"
        return None

    async def _restart(self, slot: Slot) -> str | None:
        try:
            await slot.restart()
        except (MeshdError, KeeperError) as error:
            return f"slot {slot.name} was not restarted: {error}"
        self._changes[slot.name] = replace(self._changes[slot.name], change="restarted")
        return None
