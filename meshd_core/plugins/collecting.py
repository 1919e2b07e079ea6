"""What plugins bring: each plugin is asked by itself, and what it returns is checked before anyone uses it.

One hook of one plugin is all or nothing: if it raises, even midway through a generator, nothing of it is used. Of two
things with one name the first in the plugins' order stays, and the second plugin is blamed.
"""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from meshd_core.config.decode import is_name
from meshd_core.contracts.auth import AuthProvider
from meshd_core.contracts.daemon import Engine
from meshd_core.contracts.filters import OutputFilter
from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.contracts.routes import Route
from meshd_core.contracts.sinks import FleetSink
from meshd_core.plugins.failures import PLUGIN_ERRORS, BadPlugin
from meshd_core.plugins.plugin import Plugin
from meshd_core.types import SCOPES

T = TypeVar("T")

MAX_ITEMS = 1000


class Collect(Generic[T]):
    """One hook whose results are gathered from all plugins."""

    def __init__(self, hook: str, word: str, check: Callable[[object], tuple[str, T]]) -> None:
        self.hook, self.word = hook, word
        self._check = check

    def gather(self, plugins: Iterable[Plugin]) -> dict[str, tuple[Plugin, T]]:
        """By name: what there is and who brings it. Failures are recorded on the plugins; nothing raises."""
        found: dict[str, tuple[Plugin, T]] = {}
        for plugin in plugins:
            if self.hook not in plugin.implementations:
                continue
            try:
                items = self._ask(plugin)
            except PLUGIN_ERRORS as error:
                plugin.blame(self.hook, error)
                continue
            for name, item in items:
                key = self._key(plugin, name)
                if key in found:
                    owner = found[key][0].name
                    clash = BadPlugin(f"{self.word} {name!r} of plugin {plugin.name!r} is taken by plugin {owner!r}")
                    plugin.blame(self.hook, clash)
                    continue
                found[key] = plugin, item
                plugin.provides.append(f"{self.word}:{name}")
        return found

    def _key(self, plugin: Plugin, name: str) -> str:
        # Routes of different plugins lie under different prefixes.
        return f"{plugin.name} {name}" if self.word == "route" else name

    def _ask(self, plugin: Plugin) -> list[tuple[str, T]]:
        items: list[tuple[str, T]] = []
        for result in plugin.call(self.hook, {"ctx": plugin.context}):
            if not isinstance(result, Iterable) or isinstance(result, (str, bytes)):
                raise BadPlugin(f"{self.hook} must return an iterable, not {type(result).__name__}")
            for item in result:
                if len(items) >= MAX_ITEMS:
                    raise BadPlugin(f"{self.hook} returns more than {MAX_ITEMS} things")
                items.append(self._check(item))
        return items


def _instance(item: object, kind: type[T]) -> T:
    if not isinstance(item, kind):
        given = f"the class {item.__name__}" if isinstance(item, type) else type(item).__name__
        raise BadPlugin(f"must return instances of {kind.__name__}, not {given}")
    return item


def _good_name(name: object, owner: object) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise BadPlugin(f"{type(owner).__name__} has no valid name: {name!r}"[:200])
    return name


def _check_kind(item: object) -> tuple[str, AgentKind]:
    kind = _instance(item, AgentKind)
    if not isinstance(getattr(kind, "profile", None), KindProfile):
        raise BadPlugin(f"{type(kind).__name__} has no profile")
    return _good_name(kind.profile.name, kind), kind


def _check_named(kind: type[T]) -> Callable[[object], tuple[str, T]]:
    def check(item: object) -> tuple[str, T]:
        good = _instance(item, kind)
        return _good_name(getattr(good, "name", None), good), good

    return check


def _check_route(item: object) -> tuple[str, Route]:
    route = _instance(item, Route)
    path: Any = route.path
    if not isinstance(path, str) or not path.startswith("/"):
        raise BadPlugin("a route's path must start with '/'")
    if not route.methods or not all(isinstance(method, str) and method.isupper() for method in route.methods):
        raise BadPlugin(f"route {path}: methods must be upper-case words, as ('GET',)")
    if route.scope not in SCOPES:
        raise BadPlugin(f"route {path}: the scope must be one of {', '.join(SCOPES)}")
    if not callable(route.endpoint):
        raise BadPlugin(f"route {path}: the endpoint can't be called")
    return f"{','.join(route.methods)} {path}", route


KINDS = Collect("meshd_agent_kinds", "kind", _check_kind)
FILTERS = Collect("meshd_output_filters", "filter", _check_named(OutputFilter))
AUTH_PROVIDERS = Collect("meshd_auth_providers", "auth", _check_named(AuthProvider))
SINKS = Collect("meshd_fleet_sinks", "sink", _check_named(FleetSink))
ENGINES = Collect("meshd_engines", "engine", _check_named(Engine))
ROUTES = Collect("meshd_routes", "route", _check_route)
COLLECTED = (KINDS, FILTERS, AUTH_PROVIDERS, SINKS, ENGINES, ROUTES)
