"""The built-in providers: `token` (the default) and `none` (only while nothing but this machine can connect)."""

from collections.abc import Iterable

from meshd_core.auth.reach import EVERYTHING
from meshd_core.auth.tokens import TokenStore
from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal
from meshd_core.contracts.context import PluginContext
from meshd_core.hookspecs import hookimpl


class TokenProvider(AuthProvider):
    """Recognises every `Authorization: Bearer meshd_...`; other credentials are left to other providers."""

    name = "token"

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    async def authenticate(self, caller: Caller) -> Principal | None:
        """The token's principal; raises Denied for a token of ours that is wrong, expired or revoked."""
        scheme, _, credential = caller.headers.get("authorization", "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential.startswith("meshd_"):
            return None
        token = self._store.verify(credential)
        if token is None:
            raise Denied("the token is unknown, revoked or expired")
        subject = f"token:{token.label or token.kid}"
        return Principal(subject=subject, scope=token.scope, slots=token.slots, provider=self.name, id=token.kid)


class NoneProvider(AuthProvider):
    """Everyone is admin: for one person's machine, never with a listener that others reach."""

    name = "none"

    async def authenticate(self, caller: Caller) -> Principal | None:
        return Principal(subject="anyone", scope="admin", slots=(EVERYTHING,), provider=self.name, id="anyone")

    def check(self, listeners_are_local: bool) -> None:
        """Raises ValueError unless every listener is loopback or a Unix socket."""
        if not listeners_are_local:
            raise ValueError(
                "auth provider 'none' lets everyone type into your agents, so it needs every listener on loopback: "
                'set bind = ["127.0.0.1", "::1"] in [node], or use providers = ["token"] in [auth]'
            )


class BuiltinAuth:
    """The plugin object that registers both, through the same hook as every other provider."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    @hookimpl
    def meshd_auth_providers(self, ctx: PluginContext) -> Iterable[AuthProvider]:
        return (TokenProvider(self._store), NoneProvider())
