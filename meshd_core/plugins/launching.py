"""`meshd_prepare_launch`: sites wrap it, plugins answer first, the kind itself answers last."""

from collections.abc import Generator, Sequence
from typing import Any

import pluggy

from meshd_core.contracts.kinds import AgentKind, Launch, LaunchSpec
from meshd_core.errors import StartFailed
from meshd_core.plugins.failures import PLUGIN_ERRORS, BadPlugin
from meshd_core.plugins.implementations import arguments
from meshd_core.plugins.plugin import Plugin

HOOK = "meshd_prepare_launch"

Wrapper = tuple[Plugin, pluggy.HookImpl]


class Preparation:
    """One launch being prepared. Every failure becomes a StartFailed that names the plugin; StartFailed passes."""

    def __init__(self, plugins: Sequence[Plugin], owner: Plugin | None, kind: AgentKind, spec: LaunchSpec) -> None:
        self._plugins, self._owner, self._kind, self._spec = plugins, owner, kind, spec

    def run(self) -> Launch:
        """The launch: wrappers around the first answer of a plugin, or around the kind's own."""
        wrappers = [
            (plugin, implementation)
            for plugin in self._plugins
            for implementation in plugin.implementations.get(HOOK, ())
            if implementation.wrapper
        ]
        return self._within(wrappers)

    def _values(self, plugin: Plugin) -> dict[str, object]:
        return {"ctx": plugin.context, "kind": self._kind, "spec": self._spec}

    def _within(self, wrappers: Sequence[Wrapper]) -> Launch:
        if not wrappers:
            return self._first()
        plugin, implementation = wrappers[0]
        try:
            wrapper = _start(implementation.function(*arguments(implementation, self._values(plugin))))
        except StartFailed:
            raise
        except PLUGIN_ERRORS as error:
            raise self._failed(plugin, error) from error
        failure: StartFailed | None = None
        launch: Launch | None = None
        try:
            launch = self._within(wrappers[1:])
        except StartFailed as error:
            failure = error
        try:
            return checked(_finish(wrapper, launch, failure))
        except StartFailed:
            raise
        except PLUGIN_ERRORS as error:
            raise self._failed(plugin, error) from error

    def _first(self) -> Launch:
        for plugin in self._plugins:
            if HOOK not in plugin.implementations:
                continue
            try:
                for result in plugin.call(HOOK, self._values(plugin)):
                    if result is not None:
                        return checked(result)
            except StartFailed:
                raise
            except PLUGIN_ERRORS as error:
                raise self._failed(plugin, error) from error
        try:
            return checked(self._kind.launch(self._spec))
        except StartFailed:
            raise
        except PLUGIN_ERRORS as error:
            raise self._failed(self._owner, error) from error

    def _failed(self, plugin: Plugin | None, error: BaseException) -> StartFailed:
        reason = plugin.blame(HOOK, error) if plugin else type(error).__name__
        name = plugin.name if plugin else "?"
        return StartFailed(
            f"slot {self._spec.slot}: plugin {name!r} could not prepare the launch: {reason}",
            hint=f"the daemon's log has the details; [plugins.{name}] enabled = false turns the plugin off",
            plugin=name,
        )


def checked(launch: object) -> Launch:
    """`launch` if a program can be started from it. Raises BadPlugin."""
    if not isinstance(launch, Launch):
        raise BadPlugin(f"must return a Launch, not {type(launch).__name__}")
    if not launch.argv or not all(isinstance(word, str) for word in launch.argv) or not launch.argv[0]:
        raise BadPlugin("Launch.argv must be the program and its arguments, all text")
    pairs = [*launch.env.items(), *launch.meta.items()]
    texts = [text for pair in pairs for text in pair]
    if not all(isinstance(text, str) for text in texts):
        raise BadPlugin("Launch.env and Launch.meta must map text to text")
    if any("\0" in text for text in (*launch.argv, *texts)):
        raise BadPlugin("Launch has a NUL character, which no program can be given")
    return launch


def _start(wrapper: object) -> Generator[None, Any, Any]:
    if not isinstance(wrapper, Generator):
        raise BadPlugin("the wrapper is not a generator")
    try:
        next(wrapper)
    except StopIteration:
        raise BadPlugin("the wrapper did not yield") from None
    return wrapper


def _finish(wrapper: Generator[None, Any, Any], launch: Launch | None, failure: StartFailed | None) -> object:
    try:
        if failure is not None:
            wrapper.throw(failure)
        else:
            wrapper.send(launch)
    except StopIteration as end:
        return end.value
    wrapper.close()
    raise BadPlugin("the wrapper yielded twice")
