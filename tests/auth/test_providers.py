"""Providers and their chain: who decides, and that every failure is a no."""

import asyncio
from pathlib import Path

import pytest

from meshd_core.auth import chain as chain_module
from meshd_core.auth.chain import AuthChain
from meshd_core.auth.providers import BuiltinAuth, NoneProvider, TokenProvider
from meshd_core.auth.reach import reaches, reaches_all
from meshd_core.auth.tokens import TokenStore
from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal
from meshd_core.contracts.context import PluginContext

pytestmark = pytest.mark.anyio


def caller(authorization: str | None = None) -> Caller:
    return Caller({} if authorization is None else {"authorization": authorization}, "127.0.0.1", 1)


class Badge(AuthProvider):
    """Lets in whoever says its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    async def authenticate(self, caller: Caller) -> Principal | None:
        self.asked += 1
        said = caller.headers.get("authorization", "")
        return Principal(self.name, "read", provider=self.name) if said == self.name else None


class Failing(AuthProvider):
    name = "failing"

    async def authenticate(self, caller: Caller) -> Principal | None:
        raise OSError("the directory is away")


class Hanging(AuthProvider):
    name = "hanging"

    async def authenticate(self, caller: Caller) -> Principal | None:
        await asyncio.Event().wait()
        return None


async def test_the_first_provider_that_recognises_the_credential_decides() -> None:
    first, second = Badge("a"), Badge("b")
    found = await AuthChain([first, second]).identify(caller("b"))
    assert found is not None
    assert found.provider == "b"
    assert await AuthChain([first, second]).identify(caller("c")) is None
    assert await AuthChain([]).identify(caller("c")) is None


async def test_a_refusal_is_final(tmp_path: Path) -> None:
    later = Badge("later")
    found = await AuthChain([TokenProvider(TokenStore(tmp_path)), later]).identify(caller("Bearer meshd_wrong"))
    assert found is None
    assert later.asked == 0


@pytest.mark.parametrize("provider", [Failing(), Hanging()])
async def test_a_provider_that_fails_or_hangs_denies(provider: AuthProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "ASK_TIMEOUT_S", 0.05)
    chain = AuthChain([provider, NoneProvider()])
    assert await chain.identify(caller()) is None
    assert chain.failures == {provider.name: 1}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic meshd_x", "meshd_x", "Bearer other", "Bearer \xe9", "Bearer \udcff"],
)
async def test_what_is_no_token_of_ours_is_left_to_others(tmp_path: Path, authorization: str | None) -> None:
    provider = TokenProvider(TokenStore(tmp_path))
    assert await provider.authenticate(caller(authorization)) is None


@pytest.mark.parametrize("credential", ["meshd_", "meshd_x_y", "meshd_aaaaaaaa_" + "é" * 43, "meshd_" + "a" * 10_000])
async def test_a_wrong_token_of_ours_is_denied(tmp_path: Path, credential: str) -> None:
    with pytest.raises(Denied):
        await TokenProvider(TokenStore(tmp_path)).authenticate(caller(f"Bearer {credential}"))


async def test_a_good_token_gives_its_principal(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    credential, token = store.create("control", ("a", "b@c"), label="ops")
    found = await TokenProvider(store).authenticate(caller(f"bearer  {credential} "))
    assert found == Principal("token:ops", "control", ("a", "b@c"), "token", token.kid)
    assert found.allows("approve")
    assert not found.allows("admin")


async def test_none_lets_everyone_in_but_only_locally() -> None:
    provider = NoneProvider()
    found = await provider.authenticate(caller())
    assert found is not None
    assert found.allows("admin")
    provider.check(listeners_are_local=True)
    with pytest.raises(ValueError, match="loopback"):
        AuthChain([provider]).check(listeners_are_local=False)


async def test_both_are_registered_through_the_hook(tmp_path: Path) -> None:
    ctx = PluginContext("mac1", "builtin-auth", None, tmp_path)
    found = BuiltinAuth(TokenStore(tmp_path)).meshd_auth_providers(ctx)
    assert [provider.name for provider in found] == ["token", "none"]


@pytest.mark.parametrize(
    ("globs", "slot", "node", "expected"),
    [
        (("*",), "a", "here", True),
        (("*",), "a", "there", False),
        (("*@*",), "a", "there", True),
        (("a",), "a", "here", True),
        (("a",), "a", "there", False),
        (("a@there",), "a", "there", True),
        (("a@there",), "a", "here", False),
        (("claude-*",), "claude-1", "here", True),
        (("claude-*",), "demo", "here", False),
        (("b", "a"), "a", "here", True),
        ((), "a", "here", False),
    ],
)
async def test_slot_globs(globs: tuple[str, ...], slot: str, node: str, expected: bool) -> None:
    assert reaches(Principal("x", "read", globs), slot, node, "here") is expected


async def test_only_a_star_reaches_all() -> None:
    assert reaches_all(Principal("x", "read", ("*",)))
    assert reaches_all(Principal("x", "read", ("*@*",)))
    assert not reaches_all(Principal("x", "read", ("a*",)))
