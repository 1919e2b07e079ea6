"""Phase two: the configuration against what is installed, and what the daemon needs from it, resolved."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct

from meshd_core.config.decode import decode
from meshd_core.config.lines import KeyPath
from meshd_core.config.load import LoadedConfig
from meshd_core.config.model import Config, DeliverySection, SlotSection
from meshd_core.config.places import default_node_name
from meshd_core.config.problems import ConfigErrors, ConfigProblem, did_you_mean, in_file_order, nearest
from meshd_core.config.rules import expand_cwd, secret_names, unreadable_secrets
from meshd_core.types import PluginInfo

OURS = {kind: f"meshd-{kind}" for kind in ("claude", "codex", "gemini", "generic", "opencode")}
"""Kinds of our own distributions: only these are named to install, a guessed name could be anybody's."""


class Inventory(Struct, frozen=True):
    """What the plugins bring, as far as a configuration can refer to it."""

    kinds: Mapping[str, type[Struct] | None]
    """Agent kinds with the types of their options."""
    filters: frozenset[str]
    auth_providers: frozenset[str]
    sinks: Mapping[str, type[Struct] | None]
    """Fleet sinks with the types of their options."""
    plugins: tuple[PluginInfo, ...]
    broken: Mapping[str, str]
    """Plugins that failed, in whole or in one of the hooks that bring something, with the reason."""
    broken_kinds: Mapping[str, str]
    """Kinds that are there but can't be used, with the reason."""
    problems: tuple[ConfigProblem, ...] = ()
    """Errors in the plugins' own tables."""


class Host(Protocol):
    """The part of the plugin host that is needed here."""

    def inventory(self) -> Inventory: ...


class CheckedSlot(Struct, frozen=True):
    """One slot, its options decoded."""

    section: SlotSection
    cwd: str
    """Absolute."""
    options: Any
    """An instance of the kind's options type, or None if it has none."""
    unavailable: str | None = None
    """Why this slot can't start: a plugin that may bring its kind failed. The daemon runs all the same."""


class CheckedSink(Struct, frozen=True):
    """One `[sinks.<name>]`, its options decoded."""

    name: str
    plugin: str
    options: Any
    unavailable: str | None = None
    """Why it can't work: the plugin that may bring it failed."""
    delivery: DeliverySection = DeliverySection()


class CheckedConfig(Struct, frozen=True):
    """A configuration without problems."""

    config: Config
    loaded: LoadedConfig
    node: str
    slots: tuple[CheckedSlot, ...]
    sinks: tuple[CheckedSink, ...]
    secret_names: frozenset[str]
    """Environment variables that hold secrets of the configuration: agents must not inherit them."""
    warnings: tuple[ConfigProblem, ...]


def check_against(loaded: LoadedConfig, host: Host) -> CheckedConfig:
    """Judge `loaded` by what `host` has. Raises ConfigErrors with the problems of both phases.

    A kind, or a sink, that a failed plugin may have brought is no error: its slot is unavailable, its sink degraded.
    A filter or an auth provider that isn't there is one, whatever the cause: neither may fail open.
    """
    inventory = host.inventory()
    check = _Check(loaded, inventory)
    problems = [*loaded.problems, *check.references(), *inventory.problems]
    slots = []
    for index, section in enumerate(loaded.config.slots):
        kind = check.kind(section, ("slots", index))
        problems += kind.problems
        if not problems:
            cwd = expand_cwd(section.cwd, loaded.base)
            assert cwd is not None  # a rule of phase one
            slots.append(CheckedSlot(section, cwd, kind.options, kind.unavailable))
    sinks = [check.sink(name, table, problems) for name, table in loaded.config.sinks.items()]
    if problems:
        raise ConfigErrors(in_file_order(dict.fromkeys(problems)))
    node = loaded.config.node.name or default_node_name()
    names = secret_names(loaded.config)
    warnings = (*loaded.warnings, *check.warnings)
    return CheckedConfig(loaded.config, loaded, node, tuple(slots), tuple(sinks), names, warnings)


class _Kind(Struct, frozen=True):
    options: Any = None
    unavailable: str | None = None
    problems: list[ConfigProblem] = []


class _Check:
    def __init__(self, loaded: LoadedConfig, inventory: Inventory) -> None:
        self.config, self.document, self.base = loaded.config, loaded.document, loaded.base
        self.inventory = inventory
        self.warnings: list[ConfigProblem] = []
        self.states = {plugin.name: plugin for plugin in reversed(inventory.plugins)}

    def references(self) -> Iterator[ConfigProblem]:
        """Names of filters, auth providers, sinks and plugins that nobody brings."""
        have = self.inventory
        for index, slot in enumerate(self.config.slots):
            for at, name in enumerate(slot.filters):
                if name not in have.filters:
                    yield self._missing(("slots", index, "filters", at), "filter", name, have.filters)
        for at, name in enumerate(self.config.auth.providers):
            if name not in have.auth_providers:
                yield self._missing(("auth", "providers", at), "auth provider", name, have.auth_providers)
        for name in self.config.plugins:
            if name not in self.states:
                yield self._missing(("plugins", name), "plugin", name, self.states)
        for at, name in enumerate(self.config.node.plugin_order):
            if name not in self.states:
                yield self._missing(("node", "plugin_order", at), "plugin", name, self.states)

    def sink(self, name: str, table: Mapping[str, Any], problems: list[ConfigProblem]) -> CheckedSink:
        """A sink and its options; what is wrong with them goes into `problems`."""
        path: KeyPath = ("sinks", name)
        plugin = table.get("plugin")
        if not isinstance(plugin, str):
            return CheckedSink(name, "", None)  # a rule of phase one
        known = self.inventory.sinks
        if plugin not in known:
            missing = self._missing((*path, "plugin"), "sink", plugin, known)
            (self.warnings if self.inventory.broken else problems).append(missing)
            return CheckedSink(name, plugin, None, unavailable=f"{missing.reason} ({missing.hint})")
        delivery, found = decode(DeliverySection, table.get("delivery", {}), self.document, (*path, "delivery"))
        problems += found
        delivery = delivery or DeliverySection()
        given = {key: value for key, value in table.items() if key not in ("plugin", "delivery")}
        kind = known[plugin]
        if kind is None:
            problems += [self.document.problem((*path, key), f"sink {plugin!r} has no such option") for key in given]
            return CheckedSink(name, plugin, None, delivery=delivery)
        options, found = decode(kind, given, self.document, path)
        problems += found
        if options is not None:
            problems += unreadable_secrets(options, self.document, path, self.base)
        return CheckedSink(name, plugin, options, delivery=delivery)

    def kind(self, slot: SlotSection, path: KeyPath) -> _Kind:
        """A slot's kind and its options, or what is wrong with them."""
        have = self.inventory
        if not slot.kind:
            return _Kind()
        if slot.kind in have.broken_kinds:
            return _Kind(unavailable=have.broken_kinds[slot.kind])
        if slot.kind not in have.kinds:
            missing = self._missing((*path, "kind"), "kind", slot.kind, have.kinds)
            if have.broken and (slot.kind in have.broken or not nearest(slot.kind, have.kinds)):
                return _Kind(unavailable=f"{missing.reason} ({missing.hint})")
            return _Kind(problems=[missing])
        kind = have.kinds[slot.kind]
        if kind is None:
            if slot.options:
                reason = f"kind {slot.kind!r} has no options"
                return _Kind(problems=[self.document.problem((*path, "options"), reason)])
            return _Kind()
        options, problems = decode(kind, slot.options, self.document, (*path, "options"))
        return _Kind(options=options, problems=problems)

    def _missing(self, path: KeyPath, what: str, name: str, known: Any) -> ConfigProblem:
        return self.document.problem(path, f'{what} "{name}" is not installed', self._way_out(what, name, known))

    def _way_out(self, what: str, name: str, known: Any) -> str:
        plugin = self.states.get(name)
        if plugin and plugin.status != "active" and what != "plugin":
            causes = {
                "disabled": f"[plugins.{name}] says enabled = false",
                "not_allowed": "MESHD_PLUGINS does not name it",
            }
            return f"plugin {name!r}: {causes.get(plugin.status, plugin.error or plugin.status)}"
        if what == "kind" and name in OURS:
            return f"pip install {OURS[name]}"
        broken = "; ".join(f"plugin {broken!r} failed: {reason}" for broken, reason in self.inventory.broken.items())
        listed = "installed: " + (", ".join(sorted(known)) or "none")
        return did_you_mean(name, known, otherwise=broken or listed) or listed
