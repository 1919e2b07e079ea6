"""Finding plugins by their entry points, without importing any of them.

The group is the major version of the plugin API: `meshd_core.v1` is ours, any other `meshd_core.v<N>` is listed as
incompatible and never imported.
"""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, distributions

from msgspec import Struct

from meshd_core.hookspecs import ENTRY_POINT_GROUP
from meshd_core.types import NAME_PATTERN

log = logging.getLogger(__name__)

_GROUP = re.compile(r"meshd_core\.v(\d+)")
ALLOW_VARIABLE = "MESHD_PLUGINS"


class Found(Struct, frozen=True):
    """One entry point of one distribution."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint
    incompatible: str | None = None
    """Why it can't be loaded by this core: the group of another major version."""
    clash: str | None = None
    """Why it must not be loaded: its name is taken or is no name."""


def discover(path: Sequence[str] | None = None) -> list[Found]:
    """Every plugin installed on `path` (default: sys.path), by name. Names that clash are marked, not resolved."""
    found: dict[tuple[str, str, str], Found] = {}
    seen: set[str] = set()
    for distribution in distributions() if path is None else distributions(path=list(path)):
        name = _name(distribution)
        # Of two copies of one distribution, the first on the path is the one that Python imports.
        if name and name not in seen:
            seen.add(name)
            for plugin in _plugins_in(distribution, name):
                found.setdefault((plugin.name, plugin.distribution, plugin.entry_point.group), plugin)
    return _mark_clashes(sorted(found.values(), key=lambda plugin: (plugin.name, plugin.distribution)))


def allowed(environ: Mapping[str, str]) -> Collection[str] | None:
    """The names in `MESHD_PLUGINS`, or None if it isn't set: everything is allowed. Set but empty allows nothing."""
    value = environ.get(ALLOW_VARIABLE)
    return None if value is None else frozenset(name.strip() for name in value.split(",") if name.strip())


def in_order(found: Sequence[Found], first: Sequence[str]) -> list[Found]:
    """`found` in the order in which plugins are asked: those named in `first`, then the others by name."""
    rank = {name: position for position, name in enumerate(first)}
    return sorted(found, key=lambda plugin: (rank.get(plugin.name, len(rank)), plugin.name, plugin.distribution))


def _name(distribution: Distribution) -> str:
    try:
        return re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        # Some other package's broken metadata is none of our business, and must not stop the start.
        return ""


def _plugins_in(distribution: Distribution, name: str) -> list[Found]:
    try:
        points = [point for point in distribution.entry_points if _GROUP.fullmatch(point.group)]
        version = distribution.version or "unknown"
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        log.warning("entry points of a distribution can't be read", extra={"distribution": name, "error": str(error)})
        return []
    ours = {point.name for point in points if point.group == ENTRY_POINT_GROUP}
    found = []
    for point in points:
        if point.group == ENTRY_POINT_GROUP:
            found.append(Found(point.name, name, version, point))
        elif point.name not in ours:  # else: one distribution for two majors of the API
            reason = f"made for plugin API {point.group!r}; this core has {ENTRY_POINT_GROUP!r}"
            found.append(Found(point.name, name, version, point, incompatible=reason))
    return found


def _mark_clashes(found: Sequence[Found]) -> list[Found]:
    marked = []
    for plugin in found:
        same = [other for other in found if other.name == plugin.name and not other.incompatible]
        clash = None
        if not re.fullmatch(NAME_PATTERN, plugin.name):
            clash = f"the entry point's name {plugin.name!r} is not a plugin name ({NAME_PATTERN})"
        elif len(same) > 1 and not plugin.incompatible:
            names = " and ".join(other.distribution for other in same)
            clash = f"the name {plugin.name!r} is used by {names}: uninstall one of them"
        marked.append(
            Found(
                plugin.name, plugin.distribution, plugin.version, plugin.entry_point, plugin.incompatible, clash
            )
        )  # fmt: skip
    return marked
