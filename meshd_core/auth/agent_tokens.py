"""Tokens of slots' own agents (`api` of a slot): made at a start, dead at the agent's end, kept nowhere in clear.

The SHA-256 goes with the run, in the keeper's memory, so that the next daemon knows the token of an agent that it takes
over. These tokens work whatever `auth.providers` says: the slot's configuration is what allows them.
"""

import hashlib
import secrets
from typing import Literal

from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal

AgentScope = Literal["read", "inject"]


class AgentTokens(AuthProvider):
    """The tokens of one node's agents, one a slot. Each reaches this node's slots and no other's."""

    name = "slot"

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        """Where the daemon is to be found, as variables for the agent's environment; set once that is known."""
        self._slots: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._scopes: dict[str, AgentScope] = {}

    def make(self, slot: str, scope: AgentScope) -> tuple[dict[str, str], str]:
        """A token for the run that is about to start: variables for its environment, and the token's digest."""
        credential = f"meshd_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
        digest = _digest(credential)
        self.take_up(slot, digest, scope)
        return {**self.environment, "MESHD_TOKEN": credential}, digest

    def take_up(self, slot: str, digest: str, scope: AgentScope) -> None:
        """`slot` runs an agent that holds the token with this digest."""
        self.end(slot)
        self._slots[digest], self._digests[slot], self._scopes[slot] = slot, digest, scope

    def allow(self, slot: str, scope: AgentScope | None) -> None:
        """The configuration changed: what the agent of `slot` may do with the token that it has."""
        if scope is None or slot not in self._digests:
            self._scopes.pop(slot, None)
        else:
            self._scopes[slot] = scope

    def end(self, slot: str) -> None:
        """The agent of `slot` has ended, and its token with it."""
        self._slots.pop(self._digests.pop(slot, ""), None)
        self._scopes.pop(slot, None)

    def principal(self, slot: str) -> Principal | None:
        """As whom the agent of `slot` and its processes may act; None: as nobody."""
        scope = self._scopes.get(slot)
        return None if scope is None else Principal(f"slot:{slot}", scope, ("*",), self.name, f"slot:{slot}")

    async def authenticate(self, caller: Caller) -> Principal | None:
        scheme, _, credential = caller.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        # A look-up by the digest of 256 random bits tells nothing by the time that it takes.
        slot = self._slots.get(_digest(credential.strip()))
        if slot is None:
            return None
        principal = self.principal(slot)
        if principal is None:
            raise Denied("the slot of this agent has no 'api' any more")
        return principal


def _digest(credential: str) -> str:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
