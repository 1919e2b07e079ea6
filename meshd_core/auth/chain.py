"""The providers in their configured order: the first that recognises a credential decides, every failure denies."""

import asyncio
import logging
from collections.abc import Sequence

from meshd_core.clock import monotonic
from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal

ASK_TIMEOUT_S = 5.0
"""How long one provider may take; then the caller is denied."""

LINES_PER_MINUTE = 20
"""Refusals and failures that are logged; more are only counted."""

log = logging.getLogger(__name__)


class AuthChain:
    """`failures` counts exceptions and timeouts of each provider, for `/metrics` and the log.

    `always` are asked before `providers`, and stay whatever the configuration says.
    """

    def __init__(self, providers: Sequence[AuthProvider], always: Sequence[AuthProvider] = ()) -> None:
        self._always = tuple(always)
        self._providers = (*self._always, *providers)
        self.failures: dict[str, int] = {}
        self._minute, self._lines = -1, 0

    def check(self, listeners_are_local: bool) -> None:
        """Ask each provider whether it may be used so. Raises ValueError with the first reason against it."""
        for provider in self._providers:
            provider.check(listeners_are_local)

    def use(self, providers: Sequence[AuthProvider]) -> None:
        """The configuration changed: ask these from now on."""
        self._providers = (*self._always, *providers)

    async def identify(self, caller: Caller) -> Principal | None:
        """Who calls, or None: no provider recognises the credential, one refused it, or one failed."""
        for provider in self._providers:
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    principal = await provider.authenticate(caller)
            except Denied as denied:
                if self._worth_a_line():
                    log.info("credential refused", extra={"provider": provider.name, "reason": str(denied)})
                return None
            except Exception:  # a plugin is called: whatever it raises, the answer is no
                self.failures[provider.name] = self.failures.get(provider.name, 0) + 1
                if self._worth_a_line():
                    failures = self.failures[provider.name]
                    log.exception("auth provider failed", extra={"provider": provider.name, "failures": failures})
                return None
            if principal is not None:
                return principal
        return None

    def _worth_a_line(self) -> bool:
        """Whether the log takes one more line this minute: whoever knocks, however often, must not fill the disk."""
        minute = int(monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        return self._lines <= LINES_PER_MINUTE
