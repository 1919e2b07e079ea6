"""The server that stands in for tailscaled is one for an independent client, too; and what the provider makes of it."""

import socket
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import tslocal
from local_api_server import device, says, sleeps
from meshd_tailscale.config import TailscaleConfig
from meshd_tailscale.local_api import LocalApiError, whois
from meshd_tailscale.provider import MAX_KEPT, TailscaleProvider, is_own_address, plain_address

from meshd_core.api import Caller, Denied

pytestmark = pytest.mark.anyio
ALLOW: list[dict[str, Any]] = [
    {"users": ["alice@example.com"], "scope": "admin", "slots": ["*@*"]},
    {"users": ["*@example.com"], "scope": "read"},
    {"tags": ["tag:ci"], "scope": "inject", "slots": ["claude-*"]},
]
CAP = "example.com/cap/meshd"


def provider(server: Any, **settings: Any) -> TailscaleProvider:
    clock = settings.pop("clock", None)
    config = msgspec.convert({"socket": str(server.server_address), "allow": ALLOW, **settings}, TailscaleConfig)
    return TailscaleProvider(config, is_own=lambda address: address.is_loopback, **({"clock": clock} if clock else {}))


def caller(address: str = "100.64.0.2", port: int = 40000, **headers: str) -> Caller:
    return Caller({name.replace("_", "-"): value for name, value in headers.items()}, address, port)


def test_the_server_satisfies_an_independent_client(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2, caps={CAP: [{"scope": "read"}]})
    local_api.devices["fd7a:115c:a1e0::3"] = device(3, tags=["tag:ci"])
    client = tslocal.Client(socket_path=str(local_api.server_address), use_socket_only=True)
    found = client.who_is_proto("tcp", "100.64.0.2:40000")
    assert (found.user_profile.login_name, found.node.stable_id) == ("alice@example.com", "n2CNTRL")
    assert found.cap_map == {CAP: [{"scope": "read"}]}
    tagged = client.who_is_proto("tcp", "[fd7a:115c:a1e0::3]:1")
    assert (tagged.user_profile.login_name, tagged.node.tags) == ("tagged-devices", ["tag:ci"])
    with pytest.raises(tslocal.PeerNotFoundError):
        client.who_is_proto("tcp", "100.64.0.9:1")
    with pytest.raises(tslocal.HttpError) as wrong:
        client.who_is_proto("tcp", "")
    assert wrong.value.status == 400
    client._transport.close()


async def test_our_client_and_the_independent_one_read_the_same(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2, caps={CAP: [{"scope": "read"}]})
    client = tslocal.Client(socket_path=str(local_api.server_address), use_socket_only=True)
    theirs = client.who_is_proto("tcp", "100.64.0.2:40000")
    client._transport.close()
    ours = await whois(str(local_api.server_address), "100.64.0.2:40000")
    assert ours is not None
    assert ours.user_profile.id == theirs.user_profile.id
    assert (ours.node.name, ours.node.stable_id) == (theirs.node.name, theirs.node.stable_id)
    assert list(ours.cap_map or {}) == list(theirs.cap_map)


async def test_the_first_rule_that_matches_counts(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2)
    local_api.devices["100.64.0.3"] = device(3, login="bob@example.com")
    alice = await provider(local_api).authenticate(caller())
    bob = await provider(local_api).authenticate(caller("100.64.0.3"))
    assert alice is not None and bob is not None
    assert (alice.subject, alice.scope, alice.slots) == ("tailscale:alice@example.com", "admin", ("*@*",))
    assert (alice.id, alice.provider) == ("tailscale:user:2", "tailscale")
    assert (bob.scope, bob.slots) == ("read", ("*",))


async def test_a_tagged_device_is_known_by_its_tags_alone(local_api: Any) -> None:
    local_api.devices["100.64.0.4"] = device(4, tags=["tag:web", "tag:ci"])
    local_api.devices["100.64.0.5"] = device(5, tags=["tag:web"])
    found = await provider(local_api).authenticate(caller("100.64.0.4"))
    assert found is not None
    assert (found.subject, found.scope, found.id) == (
        "tailscale:box4.tail0000.ts.net",
        "inject",
        "tailscale:node:n4CNTRL",
    )
    every = [{"users": ["*", "tagged-devices"], "scope": "admin"}]
    with pytest.raises(Denied, match="no rule and no grant"):
        await provider(local_api, allow=every).authenticate(caller("100.64.0.5"))


async def test_people_of_another_tailnet_need_their_exact_name_in_a_rule(local_api: Any) -> None:
    local_api.devices["100.64.0.6"] = device(6, login="eve@example.com", sharer=77)
    with pytest.raises(Denied):
        await provider(local_api).authenticate(caller("100.64.0.6"))
    named = [{"users": ["eve@example.com"], "scope": "read"}]
    assert await provider(local_api, allow=named).authenticate(caller("100.64.0.6")) is not None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"scope": "read"}], ("read", ("*",))),
        ([{"scope": "inject", "slots": ["a"]}, {"scope": "read"}, {"scope": "inject", "slots": ["b", "a"]}],
         ("inject", ("a", "b"))),
        ([], None), (None, None), ([{"scope": "root"}], None), ([{}], None), (["admin"], None), ([1], None),
        ([{"scope": "read"}, {"scope": "admin", "extra": 1}], None), ([{"scope": "admin", "slots": []}], None),
        ([{"scope": "admin", "slots": ["[a]"]}], None), ([{"scope": "admin", "slots": "*"}], None),
    ],
)  # fmt: skip
async def test_grants_of_the_policy_count_if_they_can_be_read(local_api: Any, values: Any, expected: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2, caps={CAP: values, "example.com/cap/other": [{"scope": "admin"}]})
    asked = provider(local_api, allow=[], domain="example.com")
    if expected is None:
        with pytest.raises(Denied):
            await asked.authenticate(caller())
    else:
        found = await asked.authenticate(caller())
        assert found is not None and (found.scope, found.slots) == expected
    with pytest.raises(Denied):
        await provider(local_api, allow=[], domain="other.example").authenticate(caller())
    with pytest.raises(Denied):
        await provider(local_api, allow=[]).authenticate(caller())


GOOD = msgspec.json.encode(device(2))
WRONG = {
    "400": says(400, b"bad"), "403": says(403, b"forbidden"), "500": says(500, b"oops"), "302": says(302, b""),
    "204": says(204, b""), "empty": says(200, b""), "garbage": says(200, b"\x00\xff{"), "null": says(200, b"null"),
    "list": says(200, b"[]"), "no node": says(200, b'{"UserProfile": {"ID": 2, "LoginName": "alice@example.com"}}'),
    "null node": says(200, b'{"Node": null, "UserProfile": {"ID": 2, "LoginName": "alice@example.com"}}'),
    "empty node": says(200, b'{"Node": {}, "UserProfile": {}}'),
    "wrong types": says(200, GOOD.replace(b'"alice@example.com"', b'["alice@example.com"]')),
    "tags as text": says(200, GOOD.replace(b'"Name":', b'"Tags":"tag:ci","Name":', 1)),
    "no stable id": says(200, GOOD.replace(b'"n2CNTRL"', b'""')),
    "nobody": says(200, GOOD.replace(b'"alice@example.com"', b'""')),
    "huge": says(200, GOOD[:-1] + b',"x":"' + b"x" * 3_000_000 + b'"}'), "slow": sleeps(3.0),
    "cut off": lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"),
    "no http": lambda handler: handler.wfile.write(b"hello\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_whatever_tailscaled_answers_wrong_lets_nobody_in(local_api: Any, name: str) -> None:
    def wrong(handler: Any) -> None:
        handler.close_connection = True
        WRONG[name](handler)

    local_api.misbehave = wrong
    asked = provider(local_api)
    with pytest.raises(LocalApiError):
        await asked.authenticate(caller())
    local_api.misbehave, local_api.devices["100.64.0.2"] = None, device(2)
    with pytest.raises(LocalApiError):  # a refusal is kept for a moment, so that a broken tailscaled is not stormed
        await asked.authenticate(caller())
    assert len(local_api.asked) == 1


async def test_nobody_gets_in_while_tailscaled_is_down(short_tmp: Path) -> None:
    config = msgspec.convert({"socket": str(short_tmp / "none"), "allow": ALLOW}, TailscaleConfig)
    with pytest.raises(LocalApiError, match="can't be asked"):
        await TailscaleProvider(config).authenticate(caller())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_tmp / "full"))  # nobody listens
    with pytest.raises(LocalApiError):
        await whois(str(short_tmp / "full"), "100.64.0.2:1")
    listener.close()


async def test_a_stranger_and_a_caller_with_a_token_are_left_to_the_other_providers(local_api: Any) -> None:
    assert await provider(local_api).authenticate(caller("192.0.2.1")) is None
    local_api.devices["100.64.0.2"] = device(2)
    assert await provider(local_api).authenticate(caller(authorization="Bearer x")) is None
    assert await provider(local_api).authenticate(Caller({}, None, None)) is None


async def test_no_header_says_who_calls(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2)
    spoofed = {
        "x_forwarded_for": "100.64.0.2",
        "tailscale_user_login": "alice@example.com",
        "forwarded": "for=100.64.0.2",
    }
    assert await provider(local_api).authenticate(caller("192.0.2.1", **spoofed)) is None
    assert local_api.asked == ["192.0.2.1:40000"]


async def test_ipv4_in_ipv6_clothes_and_ipv6_are_asked_for_as_tailscaled_knows_them(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = local_api.devices["fd7a:115c:a1e0::2"] = device(2)
    asked = provider(local_api)
    for address in ("::ffff:100.64.0.2", "100.64.0.2", "fd7a:115c:a1e0::2", "fd7a:115c:a1e0:0:0:0:0:2"):
        assert await asked.authenticate(caller(address)) is not None
    assert local_api.asked == ["100.64.0.2:40000", "[fd7a:115c:a1e0::2]:40000"]


async def test_answers_are_kept_for_a_minute_refusals_for_five_seconds(local_api: Any) -> None:
    now = [0.0]
    local_api.devices["100.64.0.2"] = device(2)
    asked = provider(local_api, clock=lambda: now[0])

    async def let_in(address: str) -> bool:
        try:
            return await asked.authenticate(caller(address)) is not None
        except Denied:
            return False

    assert await let_in("100.64.0.2")
    del local_api.devices["100.64.0.2"]
    now[0] = 59.0
    assert await let_in("100.64.0.2")
    now[0] = 61.0
    assert not await let_in("100.64.0.2")
    local_api.devices["100.64.0.2"] = device(2)
    now[0] = 65.0
    assert not await let_in("100.64.0.2")
    now[0] = 67.0
    assert await let_in("100.64.0.2")


async def test_another_port_is_asked_for_anew_and_the_memory_is_bounded(local_api: Any) -> None:
    local_api.devices["100.64.0.2:1"], local_api.devices["100.64.0.2:2"] = device(2), device(3, login="bob@example.com")
    asked = provider(local_api)
    first, second = await asked.authenticate(caller(port=1)), await asked.authenticate(caller(port=2))
    assert first is not None and second is not None
    assert (first.scope, second.scope) == ("admin", "read")
    for port in range(3, 40):
        asked._keep((plain_address("100.64.0.2"), port), None)
    for port in range(MAX_KEPT + 50):
        asked._keep((plain_address("100.64.0.9"), port), None)
    assert len(asked._kept) == MAX_KEPT


async def test_this_machine_itself_has_no_identity_unless_told_and_is_never_kept(local_api: Any) -> None:
    local_api.devices["127.0.0.1:5"] = device(2)
    assert await provider(local_api).authenticate(caller("127.0.0.1", 5)) is None
    assert await provider(local_api).authenticate(caller("::ffff:127.0.0.1", 5)) is None
    assert local_api.asked == []
    asked = provider(local_api, local_peers=True)
    assert await asked.authenticate(caller("127.0.0.1", 5)) is not None
    local_api.devices.clear()  # the port is another process's now
    assert await asked.authenticate(caller("127.0.0.1", 5)) is None


def test_own_addresses_are_told_from_others() -> None:
    assert is_own_address(plain_address("127.3.4.5"))
    assert is_own_address(plain_address("::1"))
    assert not is_own_address(plain_address("192.0.2.1"))


async def test_fifty_at_once_are_all_answered(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2)
    asked = provider(local_api)
    found: list[Any] = []

    async def one(port: int) -> None:
        found.append(await asked.authenticate(caller(port=port)))

    async with anyio.create_task_group() as group:
        for port in range(1, 51):
            group.start_soon(one, port)
    assert len(found) == 50
    assert None not in found


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"allow": [{"scope": "read"}]}, "needs 'users' or 'tags'"),
        ({"allow": [{"scope": "root", "users": ["a"]}]}, "scope"),
        ({"allow": [{"scope": "read", "tags": ["ci"]}]}, "not a tag"),
        ({"allow": [{"scope": "read", "users": ["a"], "slots": ["A!"]}]}, "not a slot glob"),
        ({"allow": [{"scope": "read", "users": [""]}]}, "empty"),
        ({"allow": [{"scope": "read", "user": ["a"]}]}, "user"),
        ({"domain": "https://example.com"}, "domain"),
        ({"socket": "tailscaled.sock"}, "absolute"),
    ],
)
def test_a_wrong_configuration_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(wrong, TailscaleConfig)
