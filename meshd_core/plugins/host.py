"""The plugin host: every plugin found, checked and asked by itself; what they bring, and who brings it.

Hooks are plain functions on the event loop: they are not timed out (a thread can't be killed), only logged when slow.
Failure policies: docs/architecture.md, "Hooks".
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pluggy
from msgspec import Struct

from meshd_core import __version__, hookspecs
from meshd_core.config.check import Inventory
from meshd_core.config.load import LoadedConfig
from meshd_core.config.problems import ConfigProblem, nearest
from meshd_core.contracts.auth import AuthProvider, Principal
from meshd_core.contracts.context import NO_DAEMON, Denial, InjectCheck
from meshd_core.contracts.daemon import DaemonInfo, DaemonView, Engine
from meshd_core.contracts.filters import OutputFilter
from meshd_core.contracts.kinds import AgentKind, Launch, LaunchSpec
from meshd_core.contracts.routes import Route
from meshd_core.contracts.sinks import FleetSink
from meshd_core.plugins import collecting
from meshd_core.plugins.discovery import allowed, discover, in_order
from meshd_core.plugins.failures import PLUGIN_ERRORS, BadPlugin, PluginRequiredError
from meshd_core.plugins.launching import Preparation
from meshd_core.plugins.loading import Loader, strict_struct
from meshd_core.plugins.plugin import Plugin
from meshd_core.types import PluginInfo

if TYPE_CHECKING:
    import click

COLLECT_HOOKS = frozenset(collect.hook for collect in collecting.COLLECTED)
MAX_REASON = 500


class PluginHost:
    """What is installed, for one daemon. Made by `build`; read-only afterwards."""

    def __init__(self, plugins: Sequence[Plugin], problems: Sequence[ConfigProblem]) -> None:
        self._plugins = tuple(plugins)
        self._active = tuple(plugin for plugin in plugins if plugin.status == "active")
        self._problems = tuple(problems)
        kinds = collecting.KINDS.gather(self._active)
        self._owners = {name: plugin for name, (plugin, _) in kinds.items()}
        self.kinds: Mapping[str, AgentKind] = {name: kind for name, (_, kind) in kinds.items()}
        self.filters: Mapping[str, OutputFilter] = _only(collecting.FILTERS.gather(self._active))
        self.auth_providers: Mapping[str, AuthProvider] = _only(collecting.AUTH_PROVIDERS.gather(self._active))
        self._sinks = collecting.SINKS.gather(self._active)
        self.sinks: Mapping[str, FleetSink] = _only(self._sinks)
        self._engines = collecting.ENGINES.gather(self._active)
        self.engines: Mapping[str, Engine] = _only(self._engines)
        self.routes: tuple[tuple[str, Route], ...] = tuple(
            (plugin.name, route) for plugin, route in collecting.ROUTES.gather(self._active).values()
        )

    @classmethod
    def build(
        cls,
        loaded: LoadedConfig,
        *,
        builtins: Sequence[tuple[str, object]] = (),
        node: str,
        state_dir: Path,
        environ: Mapping[str, str] | None = None,
        path: Sequence[str] | None = None,
        daemon: DaemonView = NO_DAEMON,
    ) -> "PluginHost":
        """Find, load and ask all plugins. Never raises for a plugin's failure: `require` and `inventory` tell.

        `builtins` come first, in their order; then `node.plugin_order`, then the other plugins by name. A plugin with a
        built-in's name is refused. `path` is searched for distributions instead of sys.path.
        """
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        loader = Loader(manager, loaded.config.plugins, loaded.document, node, state_dir, loaded.base, environ, daemon)
        plugins = [loader.builtin(name, plugin, __version__) for name, plugin in builtins]
        taken = {plugin.name for plugin in plugins}
        allow = allowed(os.environ if environ is None else environ)
        for found in in_order(discover(path), loaded.config.node.plugin_order):
            if found.name in taken and not found.incompatible:
                plugin = Plugin(found.name, found.distribution, found.version)
                plugin.reject("failed", f"the name {found.name!r} is used by a built-in plugin of meshd-core")
            else:
                plugin = loader.installed(found, allow)
            plugins.append(plugin)
        return cls(plugins, loader.problems)

    def infos(self) -> list[PluginInfo]:
        """Every plugin, in the order in which they are asked. `error` on an active one: a hook of it failed."""
        return [plugin.info() for plugin in self._plugins]

    def require(self, required: Sequence[str], auth_providers: Sequence[str]) -> None:
        """Raises PluginRequiredError if a required plugin, or the plugin of a configured provider, does not work.

        Call it before `check_against`, which reports what is the configuration's fault: a provider that no plugin ever
        had, a plugin whose own table is wrong.
        """
        reasons = [reason for name in required if (reason := self._missing(name))]
        broken = {
            plugin.name: plugin
            for plugin in self._plugins
            if _is_broken(plugin, "meshd_auth_providers") and not plugin.is_misconfigured
        }
        for name in auth_providers:
            if name in self.auth_providers or not broken or (name not in broken and nearest(name, self.auth_providers)):
                continue
            suspects = [broken[name]] if name in broken else list(broken.values())
            causes = "; ".join(f"plugin {plugin.name!r}: {plugin.info().error}" for plugin in suspects)
            reasons.append(f"the auth provider {name!r} can't load: {causes}")
        if reasons:
            raise PluginRequiredError("\n".join(reasons))

    def inventory(self) -> Inventory:
        """What a configuration can refer to, for `check_against`."""
        kinds: dict[str, type[Struct] | None] = {}
        broken_kinds: dict[str, str] = {}
        for name, kind in self.kinds.items():
            owner = self._owners[name]
            try:
                options = kind.options_type()
                kinds[name] = None if options is None else strict_struct(options, f"options_type of kind {name!r}")
            except PLUGIN_ERRORS as error:
                reason = owner.blame("meshd_agent_kinds", error)
                broken_kinds[name] = f"kind {name!r} of plugin {owner.name!r} can't be used: {reason}"
        broken = {
            plugin.name: plugin.info().error or plugin.status
            for plugin in self._plugins
            if any(_is_broken(plugin, hook) for hook in COLLECT_HOOKS)
        }
        return Inventory(
            kinds=kinds,
            filters=frozenset(self.filters),
            auth_providers=frozenset(self.auth_providers),
            sinks=self._sink_options(),
            plugins=tuple(self.infos()),
            broken=broken,
            broken_kinds=broken_kinds,
            problems=self._problems,
        )

    def config_types(self) -> dict[str, type[Struct] | None]:
        """The types of the tables of all plugins at work; None: the plugin has no table."""
        found: dict[str, type[Struct] | None] = {}
        for plugin in self._active:
            try:
                kinds = plugin.call("meshd_config_type", {})
                found[plugin.name] = strict_struct(kinds[0], "meshd_config_type") if kinds else None
            except PLUGIN_ERRORS as error:
                plugin.blame("meshd_config_type", error)
        return found

    def changed_on_disk(self) -> bool:
        """Whether plugins were installed, removed or updated since this host was built. Blocks: it scans sys.path."""
        now = {(found.name, found.distribution, found.version) for found in discover()}
        return now != {(one.name, one.distribution, one.version) for one in self._plugins if not one.builtin}

    def prepare_launch(self, kind: AgentKind, spec: LaunchSpec) -> Launch:
        """How to start `spec`: wrappers around the first plugin's answer, else the kind's own. Raises StartFailed."""
        return Preparation(self._active, self._owners.get(kind.profile.name), kind, spec).run()

    def check_inject(self, slot: Mapping[str, Any], principal: Principal, request: InjectCheck) -> Denial | None:
        """The first denial, or None. A plugin that fails, or answers with anything else, denies."""
        values = {"slot": MappingProxyType(dict(slot)), "principal": principal, "request": request}
        for plugin in self._active:
            if "meshd_check_inject" not in plugin.implementations:
                continue
            try:
                for result in plugin.call("meshd_check_inject", {"ctx": plugin.context, **values}):
                    if result is None:
                        continue
                    if not isinstance(result, Denial) or not isinstance(result.reason, str):
                        raise BadPlugin(f"must return a Denial or None, not {type(result).__name__}")
                    return Denial(result.reason[:MAX_REASON])
            except PLUGIN_ERRORS as error:
                plugin.blame("meshd_check_inject", error, is_private=not isinstance(error, BadPlugin))
                return Denial(f"plugin {plugin.name!r} failed while it checked the prompt; its prompts are refused")
        return None

    def daemon_ready(self, info: DaemonInfo) -> None:
        """Tell every plugin; one that fails is recorded and stops nobody."""
        for plugin in self._active:
            try:
                plugin.call("meshd_daemon_ready", {"info": info})
            except PLUGIN_ERRORS as error:
                plugin.blame("meshd_daemon_ready", error)

    def blame_engine(self, name: str, error: BaseException | None) -> None:
        """The engine `name` failed while it ran; None: it works again."""
        plugin, _ = self._engines[name]
        if error is None:
            plugin.errors.pop(f"engine {name}", None)
        else:
            plugin.blame(f"engine {name}", error)

    def cli_commands(self, group: "click.Group") -> None:
        """Add the plugins' commands to `group`. A command that is already there stays; its plugin is blamed."""
        import click  # here, because the daemon does without it

        for plugin in self._active:
            if "meshd_cli" not in plugin.implementations:
                continue
            own = click.Group(name=group.name)
            try:
                plugin.call("meshd_cli", {"ctx": plugin.context, "group": own})
            except PLUGIN_ERRORS as error:
                plugin.blame("meshd_cli", error)
                continue
            for name, command in own.commands.items():
                if name in group.commands:
                    plugin.blame("meshd_cli", BadPlugin(f"the command {name!r} is already there"))
                else:
                    group.add_command(command, name)

    def _sink_options(self) -> dict[str, type[Struct] | None]:
        """The sinks that can be used, with the types of their options; a plugin whose type is unusable is blamed."""
        found: dict[str, type[Struct] | None] = {}
        for name, (owner, sink) in self._sinks.items():
            try:
                options = sink.options_type()
                found[name] = None if options is None else strict_struct(options, f"options_type of sink {name!r}")
            except PLUGIN_ERRORS as error:
                owner.blame("meshd_fleet_sinks", error)
        return found

    def _missing(self, name: str) -> str | None:
        """Why the required plugin `name` does not work, or None."""
        same = [plugin for plugin in self._plugins if plugin.name == name]
        if not same:
            guess = nearest(name, {plugin.name for plugin in self._active})
            return f"the required plugin {name!r} is not installed" + (f"; did you mean {guess!r}?" if guess else "")
        working = [plugin for plugin in same if plugin.is_misconfigured or plugin.info().error is None]
        info = same[0].info()
        return None if working else f"the required plugin {name!r} does not work ({info.status}): {info.error}"


def _only(gathered: Mapping[str, tuple[Plugin, Any]]) -> dict[str, Any]:
    return {name: item for name, (_, item) in gathered.items()}


def _is_broken(plugin: Plugin, hook: str) -> bool:
    """Whether something that `hook` would have brought may be missing because of this plugin's failure."""
    return plugin.status == "failed" or hook in plugin.errors
