"""From a checked configuration to slots that are ready to live."""

import logging
from collections.abc import Iterator
from functools import partial

import msgspec

from meshd_core.config.check import CheckedConfig, CheckedSlot
from meshd_core.config.places import Places, private_dir
from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.errors import StartFailed
from meshd_core.events import EventBus
from meshd_core.plugins.host import PluginHost
from meshd_core.slots.launch import Launcher
from meshd_core.slots.lifecycle import KeeperLink
from meshd_core.slots.plan import SlotPlan
from meshd_core.slots.receipts import ReceiptStore
from meshd_core.slots.slot import Slot

log = logging.getLogger(__name__)


class _UnavailableKind(AgentKind):
    """Stands in for a kind whose plugin failed: what runs already is shown, nothing can be started."""

    def __init__(self, name: str, reason: str) -> None:
        self.profile = KindProfile(name=name, title=name, commands=(), install_hint=reason)


def assemble(
    config: CheckedConfig, host: PluginHost, keeper: KeeperLink, store: ReceiptStore, places: Places, bus: EventBus
) -> Iterator[Slot]:
    """The slots, in the order of the configuration. Raises OSError (disk full) and JournalInUse."""
    for checked in config.slots:
        yield Slot(_plan(checked, config, host, places), keeper, store, partial(bus.publish, checked.section.name))


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


def _plan(checked: CheckedSlot, config: CheckedConfig, host: PluginHost, places: Places) -> SlotPlan:
    section = checked.section
    folder = places.state_dir / "slots" / section.name
    private_dir(folder)
    kind, unavailable = _kind(checked, host)
    try:
        profile = kind.profile_for(checked.options)
    except Exception as error:
        # A plugin's code: its slots can't start, the others can.
        log.exception("kind failed to make a profile", extra={"slot": section.name, "kind": section.kind})
        unavailable = f"kind {section.kind!r} failed for this slot: {type(error).__name__}"
        profile = kind.profile
    return SlotPlan(
        section=msgspec.structs.replace(section, cwd=checked.cwd),
        node=config.node,
        kind=kind,
        profile=profile,
        filters=[host.filters[name] for name in section.filters],
        journal_path=folder / "journal",
        prepare=host.prepare_launch,
        secret_names=config.secret_names,
        unavailable=unavailable,
    )


def _kind(checked: CheckedSlot, host: PluginHost) -> tuple[AgentKind, str | None]:
    name = checked.section.kind
    if checked.unavailable is not None:
        return _UnavailableKind(name, checked.unavailable), checked.unavailable
    return host.kinds[name], None
