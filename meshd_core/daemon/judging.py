"""A changed configuration, judged whole before anything of it counts; whatever blocks is done off the event loop."""

import asyncio
from collections.abc import Iterator

from msgspec.structs import replace

from meshd_core.auth.chain import AuthChain
from meshd_core.config.check import CheckedConfig, Inventory, check_against
from meshd_core.config.load import LoadedConfig, read_config
from meshd_core.config.places import Places
from meshd_core.config.problems import ConfigErrors, ConfigProblem
from meshd_core.errors import ConfigInvalid
from meshd_core.plugins.failures import PluginRequiredError
from meshd_core.plugins.host import PluginHost
from meshd_core.plugins.loading import table_problems

_ADDRESS = ("bind", "port", "mesh_port", "plugin_order")
"""Keys of `[node]`, beside its name, that only a start applies."""


class _Known:
    """What is installed, found out before: `check_against` may then work in a thread."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def inventory(self) -> Inventory:
        return self._inventory


class Judge:
    """Reads the file again. `started` is the configuration that the daemon was started with."""

    def __init__(self, places: Places, host: PluginHost, started: CheckedConfig, listeners_are_local: bool) -> None:
        self._places, self._host, self._started = places, host, started
        self._local = listeners_are_local

    async def read(self) -> CheckedConfig:
        """The configuration of the file. Raises ConfigInvalid with everything that is wrong."""
        # A file that was there must not vanish: without one everything is default, and every slot would be removed.
        explicit = self._places.config_given or self._started.loaded.path is not None
        try:
            loaded = await asyncio.to_thread(read_config, self._places.config_file, explicit=explicit)
            inventory, types = self._host.inventory(), self._host.config_types()
            problems = [*self._requirements(loaded), *await asyncio.to_thread(table_problems, types, loaded)]
            known = _Known(replace(inventory, problems=tuple(problems)))
            return await asyncio.to_thread(check_against, loaded, known)
        except ConfigErrors as errors:
            raise self._invalid(errors) from None

    def _requirements(self, loaded: LoadedConfig) -> Iterator[ConfigProblem]:
        """What a start with this file would refuse for the sake of plugins."""
        config = loaded.config
        try:
            self._host.require(config.node.required_plugins, config.auth.providers)
        except PluginRequiredError as error:
            for reason in str(error).split("\n"):
                yield loaded.document.problem(("node", "required_plugins"), reason)
        have = self._host.auth_providers
        try:
            AuthChain([have[name] for name in config.auth.providers if name in have]).check(self._local)
        except ValueError as error:
            yield loaded.document.problem(("auth", "providers"), str(error))

    def _invalid(self, errors: ConfigErrors) -> ConfigInvalid:
        count = len(errors.problems)
        return ConfigInvalid(
            f"{self._places.config_file.name} is not right ({count} problem{'s' if count > 1 else ''});"
            " nothing was changed",
            hint=f"'meshd config check {self._places.config_file}' says the same",
            problems=[
                {"place": problem.place, "reason": problem.reason, "hint": problem.hint} for problem in errors.problems
            ],
        )

    async def needs_restart(self, config: CheckedConfig) -> list[str]:
        """What of `config` counts only once the daemon is started again."""
        now, then = config.config, self._started.config
        found = ["node.name"] if config.node != self._started.node else []
        found += [f"node.{key}" for key in _ADDRESS if getattr(now.node, key) != getattr(then.node, key)]
        names = dict.fromkeys([*then.plugins, *now.plugins])
        found += [f"plugins.{name}" for name in names if now.plugins.get(name) != then.plugins.get(name)]
        if await asyncio.to_thread(self._host.changed_on_disk):
            found.append("plugins")
        return found
