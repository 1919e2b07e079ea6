"""Auth providers: who is calling, and what may they do."""

from collections.abc import Mapping

from msgspec import Struct

from meshd_core.types import SCOPES, Scope


class Caller(Struct, frozen=True):
    """What a provider may judge by. Headers are lower-cased; forwarding headers were removed."""

    headers: Mapping[str, str]
    peer: str | None
    """Address of the socket's other end (`127.0.0.1`, `::1`), never taken from a header; None on a Unix socket."""
    peer_port: int | None = None


class Principal(Struct, frozen=True):
    """Who calls: a subject, the highest scope held, and the slots it reaches."""

    subject: str
    scope: Scope
    slots: tuple[str, ...] = ("*",)
    """Globs: `x` means this node's slots; `x@y` names a node's; `*@*` is everything."""
    provider: str = ""
    id: str = ""
    """Stable id for idempotency and audit (a token's kid); default: the subject."""

    def allows(self, scope: Scope) -> bool:
        """Whether `scope` is within the scope held (each scope contains the ones before it)."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


class Denied(Exception):
    """The provider recognises the credential and refuses it (wrong, expired, revoked): no other provider is asked.

    The message is for the log only; the caller gets a bare 401.
    """


class AuthProvider:
    """Base class of auth providers; `name` is what `auth.providers` refers to. An exception denies."""

    name: str

    async def authenticate(self, caller: Caller) -> Principal | None:
        """The principal, or None if this provider does not recognise the credential. Raises `Denied`."""
        raise NotImplementedError

    def check(self, listeners_are_local: bool) -> None:
        """Called once before listening; raises ValueError with the reason if this provider can't be used so."""
