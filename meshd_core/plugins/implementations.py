"""Checks of a plugin's hook implementations before any of them is called.

pluggy accepts in silence what can never work: a hook nobody calls, a coroutine that counts as an answer. All of
that is refused here, with the nearest right spelling.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pluggy

from meshd_core import hookspecs
from meshd_core.config.problems import nearest
from meshd_core.plugins.failures import BadPlugin

PREFIX = "meshd_"
WRAPPABLE = frozenset({"meshd_prepare_launch"})

Implementation = Callable[..., Any]


def hook_names() -> tuple[str, ...]:
    """The names of all hooks of this core."""
    return tuple(name for name in vars(hookspecs) if name.startswith(PREFIX))


def check_implementations(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raises BadPlugin for the first thing that would silently not work."""
    if inspect.isclass(plugin):
        raise BadPlugin(f"the entry point names the class {plugin.__name__}: name a module or an instance")
    known = hook_names()
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            _check_unmarked(plugin, attribute, known)
            continue
        name = options.get("specname") or attribute
        if name not in known:
            if options.get("optionalhook"):
                continue  # meant for another minor version of the API
            guess = nearest(name, known)
            raise BadPlugin(f"{attribute}: there is no hook {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
        _check_marked(attribute, name, options, getattr(plugin, attribute))


def implementations_of(manager: pluggy.PluginManager, plugin: object) -> dict[str, list[pluggy.HookImpl]]:
    """The registered implementations of `plugin`, by hook."""
    found: dict[str, list[pluggy.HookImpl]] = {}
    for caller in manager.get_hookcallers(plugin) or []:
        if caller.name in hook_names():
            found[caller.name] = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
    return found


def arguments(implementation: pluggy.HookImpl, values: Mapping[str, object]) -> list[object]:
    """The values that an implementation asks for; it may leave arguments out."""
    return [values[name] for name in implementation.argnames]


def _check_unmarked(plugin: object, attribute: str, known: tuple[str, ...]) -> None:
    if not attribute.startswith(PREFIX) or not inspect.isroutine(inspect.getattr_static(plugin, attribute, None)):
        return
    guess = nearest(attribute, known)
    word = f"; did you mean {guess!r}?" if guess and guess != attribute else ""
    raise BadPlugin(f"{attribute} is not marked with @hookimpl of meshd_core.api{word}")


def _check_marked(attribute: str, name: str, options: Mapping[str, Any], function: Implementation) -> None:
    if _is_async(function):
        raise BadPlugin(
            f"{attribute} is 'async def': hooks are plain 'def', the objects they return have async methods"
        )
    if options.get("hookwrapper"):
        raise BadPlugin(f"{attribute}: hookwrapper=True is the old style; use wrapper=True")
    if options.get("wrapper") and name not in WRAPPABLE:
        raise BadPlugin(f"{attribute}: wrapper=True works for {', '.join(sorted(WRAPPABLE))} only")
    if options.get("tryfirst") or options.get("trylast"):
        raise BadPlugin(f"{attribute}: tryfirst and trylast have no effect; 'plugin_order' in [node] gives the order")


def _is_async(function: object) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    unwrapped = inspect.unwrap(function) if callable(function) else function
    return any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (function, unwrapped, getattr(unwrapped, "__call__", None))  # noqa: B004
    )
