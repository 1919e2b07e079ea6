"""From what was found to what works: import, checks, registration and the plugin's own configuration."""

import logging
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pluggy
from msgspec import Struct

from meshd_core.config.decode import Document, decode
from meshd_core.config.load import LoadedConfig
from meshd_core.config.problems import ConfigProblem
from meshd_core.config.rules import unreadable_secrets
from meshd_core.config.secrets import resolve
from meshd_core.contracts.context import PluginContext
from meshd_core.contracts.daemon import DaemonView
from meshd_core.contracts.secrets import ReadSecret
from meshd_core.plugins.discovery import Found
from meshd_core.plugins.failures import PLUGIN_ERRORS, BadPlugin, describe
from meshd_core.plugins.implementations import check_implementations, implementations_of
from meshd_core.plugins.plugin import Plugin

log = logging.getLogger(__name__)

ENABLED = "enabled"
"""Core's own key in every `[plugins.<name>]` table."""


class Loader:
    """Loads plugins one by one into `manager`. Nothing that a plugin does wrong raises: it is recorded on it."""

    def __init__(
        self,
        manager: pluggy.PluginManager,
        tables: Mapping[str, Mapping[str, Any]],
        document: Document,
        node: str,
        state_dir: Path,
        base: Path,
        environ: Mapping[str, str] | None,
        daemon: DaemonView,
    ) -> None:
        self._manager, self._tables, self._document = manager, tables, document
        self._node, self._state_dir = node, state_dir
        self._base, self._environ, self._daemon = base, environ, daemon
        self._read_secret: ReadSecret = partial(resolve, base=base, environ=environ)
        self.problems: list[ConfigProblem] = []

    def builtin(self, name: str, plugin: object, version: str) -> Plugin:
        """A plugin of core's own: an object at hand, never subject to the allow-list."""
        record = Plugin(name, "meshd-core", version, builtin=True)
        if self._is_enabled(record):
            self._take(record, plugin)
        return record

    def installed(self, found: Found, allow: Collection[str] | None) -> Plugin:
        """A plugin of an entry point; imported only if nothing speaks against it."""
        record = Plugin(found.name, found.distribution, found.version)
        if found.incompatible:
            record.reject("incompatible", found.incompatible)
        elif found.clash:
            record.reject("failed", found.clash)
        elif allow is not None and found.name not in allow:
            record.reject("not_allowed", "MESHD_PLUGINS does not name it")
        elif self._is_enabled(record):
            try:
                plugin = found.entry_point.load()
            except PLUGIN_ERRORS as error:
                self._fail(record, "can't be imported: " + describe(error), error)
            else:
                self._take(record, plugin)
        return record

    def _is_enabled(self, record: Plugin) -> bool:
        enabled = self._tables.get(record.name, {}).get(ENABLED, True)
        if not isinstance(enabled, bool):
            place = ("plugins", record.name, ENABLED)
            self._misconfigured(record, [self._document.problem(place, "must be true or false")])
        if enabled is not True:
            record.reject("disabled", f"[plugins.{record.name}] says enabled = false")
        return enabled is True

    def _take(self, record: Plugin, plugin: object) -> None:
        """Check, register and configure; afterwards the plugin is active, or failed and unregistered."""
        try:
            check_implementations(self._manager, plugin)
            self._manager.register(plugin, name=record.name)
        except PLUGIN_ERRORS as error:
            # pluggy's own refusal (a wrong argument's name) and whatever a plugin's attributes raise.
            self._fail(record, describe(error), error)
            return
        record.implementations = implementations_of(self._manager, plugin)
        try:
            config = self._configure(record)
        except PLUGIN_ERRORS as error:
            self._fail(record, describe(error), error)
        else:
            state_dir = self._state_dir / "plugins" / record.name
            record.context = PluginContext(self._node, record.name, config, state_dir, self._read_secret, self._daemon)
        if record.status != "active":
            self._manager.unregister(plugin)

    def _configure(self, record: Plugin) -> Struct | None:
        """The plugin's own configuration. Raises BadPlugin; problems of the file are kept."""
        is_there = record.name in self._tables
        table = {key: value for key, value in self._tables.get(record.name, {}).items() if key != ENABLED}
        place = ("plugins", record.name)
        kinds = record.call("meshd_config_type", {})
        if not kinds:
            if table:
                self._misconfigured(record, [self._document.problem(place, "this plugin has no configuration")])
                raise BadPlugin(f"[plugins.{record.name}] has keys, but the plugin has no configuration")
            return None
        kind = strict_struct(kinds[0], "meshd_config_type")
        config, problems = decode(kind, table, self._document, place)
        if config is None:
            if is_there:
                self._misconfigured(record, problems)
            reasons = "; ".join(str(problem) for problem in problems)
            raise BadPlugin(f"[plugins.{record.name}]: {reasons}")
        if unreadable := unreadable_secrets(config, self._document, place, self._base, self._environ):
            self._misconfigured(record, unreadable)
        return config

    def _misconfigured(self, record: Plugin, problems: list[ConfigProblem]) -> None:
        record.is_misconfigured = True
        self.problems += problems

    def _fail(self, record: Plugin, reason: str, error: BaseException) -> None:
        record.reject("failed", reason)
        cause = None if isinstance(error, BadPlugin) else error  # our own refusals need no traceback
        log.error("a plugin failed to load", extra={"plugin": record.name, "error": reason}, exc_info=cause)


def table_problems(kinds: Mapping[str, type[Struct] | None], loaded: LoadedConfig) -> list[ConfigProblem]:
    """What is wrong with the `[plugins.<name>]` tables of a changed file; `kinds`: the types of those at work."""
    problems = []
    for name, given in loaded.config.plugins.items():
        place = ("plugins", name)
        if not isinstance(given.get(ENABLED, True), bool):
            problems.append(loaded.document.problem((*place, ENABLED), "must be true or false"))
        table = {key: value for key, value in given.items() if key != ENABLED}
        kind = kinds.get(name)
        if name not in kinds or given.get(ENABLED) is False:
            continue  # not at work: a restart would judge it
        if kind is None:
            if table:
                problems.append(loaded.document.problem(place, "this plugin has no configuration"))
            continue
        config, found = decode(kind, table, loaded.document, place)
        problems += found
        if config is not None:
            problems += unreadable_secrets(config, loaded.document, place, loaded.base)
    return problems


def strict_struct(kind: object, source: str) -> type[Struct]:
    """`kind` if it is a Struct that refuses unknown keys. Raises BadPlugin, naming `source`."""
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        raise BadPlugin(f"{source} must return a msgspec Struct type, not {type(kind).__name__}")
    if not kind.__struct_config__.forbid_unknown_fields:
        raise BadPlugin(f"{source}: {kind.__name__} needs forbid_unknown_fields=True, or typing errors go unseen")
    return kind
