"""tailscaled's LocalAPI: whose is the other end of a connection?

Source of the fields: ipn/localapi and apitype.WhoIsResponse of tailscale.com. What isn't as it should be is an error,
never a guess.
"""

import asyncio
from typing import Any

import msgspec
from msgspec import Struct, field

TIMEOUT_S = 1.0
MAX_ANSWER_BYTES = 1024 * 1024
_HOST = "local-tailscaled.sock"
"""The name that tailscaled wants in the Host header."""


class LocalApiError(Exception):
    """tailscaled can't be asked, or its answer makes no sense."""


class WhoisNode(Struct, frozen=True, rename="pascal"):
    stable_id: str = field(name="StableID")
    name: str = ""
    tags: tuple[str, ...] | None = None
    sharer: int = 0
    """Not 0: the device belongs to another tailnet, and one of its people shares it."""


class UserProfile(Struct, frozen=True, rename="pascal"):
    id: int = field(name="ID")
    login_name: str
    display_name: str = ""


class Whois(Struct, frozen=True, rename="pascal"):
    """Who has an address."""

    node: WhoisNode
    user_profile: UserProfile
    cap_map: dict[str, tuple[Any, ...] | None] | None = None
    """Grants of the tailnet's policy for this peer, by capability."""


async def whois(socket: str, address: str) -> Whois | None:
    """Who has `address` (`100.64.0.2:40000`, `[fd7a::2]:40000`) now; None: nobody of the tailnet.

    Raises LocalApiError; takes `TIMEOUT_S` at most.
    """
    import aiohttp  # here: it takes 0.2 s to import, and a daemon may have the plugin without using it

    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, body = await _ask(socket, address)
    except TimeoutError:
        raise LocalApiError(f"tailscaled did not answer within {TIMEOUT_S:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise LocalApiError(f"tailscaled can't be asked at {socket}: {type(error).__name__}") from error
    if status == 404:
        return None
    if status != 200:
        raise LocalApiError(f"tailscaled answers with status {status}")
    try:
        found = msgspec.json.decode(body, type=Whois)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LocalApiError(f"tailscaled's answer can't be read: {error}") from error
    if not found.node.stable_id or not (found.node.tags or found.user_profile.login_name):
        raise LocalApiError("tailscaled's answer names nobody")
    return found


async def _ask(socket: str, address: str) -> tuple[int, bytes]:
    import aiohttp

    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket), auto_decompress=False) as session,
        session.get(
            f"http://{_HOST}/localapi/v0/whois", params={"addr": address, "proto": "tcp"}, allow_redirects=False
        ) as answer,
    ):
        body = await answer.content.read(MAX_ANSWER_BYTES)
        if not answer.content.at_eof() and await answer.content.read(1):
            raise ValueError("the answer is too large")
        while not answer.content.at_eof():
            body += await answer.content.read(MAX_ANSWER_BYTES)
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too large")
        return answer.status, body
