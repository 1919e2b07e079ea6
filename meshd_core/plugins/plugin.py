"""One plugin as the host holds it: where it comes from, whether it works, and how its hooks are called."""

import inspect
import logging
from collections.abc import Mapping
from typing import Literal

import pluggy

from meshd_core.clock import monotonic
from meshd_core.contracts.context import PluginContext
from meshd_core.plugins.failures import describe
from meshd_core.plugins.implementations import arguments
from meshd_core.types import PluginInfo

log = logging.getLogger(__name__)

SLOW_S = 0.1
"""Hooks run on the event loop: one that takes longer than this is logged. It can't be interrupted."""

PluginStatus = Literal["active", "disabled", "incompatible", "failed", "not_allowed"]


class Plugin:
    """Mutable while the host is built. `error` on an active plugin: it is loaded, but one of its hooks failed."""

    def __init__(self, name: str, distribution: str, version: str, *, builtin: bool = False) -> None:
        self.name, self.distribution, self.version, self.builtin = name, distribution, version, builtin
        self.status: PluginStatus = "active"
        self.implementations: dict[str, list[pluggy.HookImpl]] = {}
        self.context: PluginContext | None = None
        self.provides: list[str] = []
        self.is_misconfigured = False
        """Its table in the file is wrong: an error of the configuration, not of the plugin."""
        self.errors: dict[str, str] = {}
        """By hook the last failure; the key '' is for the plugin as a whole."""

    def reject(self, status: PluginStatus, reason: str) -> None:
        """Out of use: no hook of it is called."""
        self.status = status
        self.implementations = {}
        self.errors = {"": reason}

    def blame(self, hook: str, error: BaseException, *, is_private: bool = False) -> str:
        """Record and log that `hook` failed; the reason, for people. `is_private`: the message may quote a prompt."""
        reason = type(error).__name__ if is_private else describe(error)
        self.errors[hook] = reason
        log.error(
            "a plugin's hook failed",
            extra={"plugin": self.name, "hook": hook, "error": reason},
            exc_info=None if is_private else error,
        )
        return reason

    def call(self, hook: str, values: Mapping[str, object]) -> list[object]:
        """The results of this plugin's implementations of `hook` (wrappers aside), by direct calls.

        Not through `pm.hook`: there, one that raises ends the others, and a historic hook has no call for one plugin.
        Whatever the plugin raises comes through.
        """
        started = monotonic()
        results = [
            implementation.function(*arguments(implementation, values))
            for implementation in self.implementations.get(hook, ())
            if not implementation.wrapper
        ]
        took_s = monotonic() - started
        if took_s > SLOW_S:
            log.warning("a plugin's hook is slow", extra={"plugin": self.name, "hook": hook, "took_s": took_s})
        for result in results:
            if inspect.iscoroutine(result):
                result.close()
        return results

    def info(self) -> PluginInfo:
        """As `GET /plugins` lists it."""
        error = "; ".join(f"{hook}: {reason}" if hook else reason for hook, reason in self.errors.items())
        return PluginInfo(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=self.status,
            hooks=sorted(self.implementations),
            provides=list(self.provides),
            error=error or None,
            builtin=self.builtin,
        )
