"""`meshd tailscale ...`: whom tailscaled sees, and what the configuration lets them do."""

import asyncio

import click
import msgspec
from msgspec import Struct

from meshd_core.api import Denied, Scope
from meshd_tailscale.config import TailscaleConfig
from meshd_tailscale.local_api import LocalApiError, whois
from meshd_tailscale.policy import principal_of


class Answer(Struct, frozen=True):
    """What `whois --json` prints."""

    address: str
    node: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    scope: Scope | None = None
    slots: tuple[str, ...] = ()
    refused: str | None = None


def tailscale_commands(config: TailscaleConfig) -> click.Group:
    """The group `tailscale`, for this configuration."""

    @click.group()
    def tailscale() -> None:
        """Look at what the auth provider 'tailscale' knows."""

    @tailscale.command("whois")
    @click.argument("address")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    def whois_command(address: str, as_json: bool) -> None:
        """Show who has ADDRESS (an address of the tailnet, with or without a port), and what they may do.

        Exits with 1 if they may do nothing.

        \b
        meshd tailscale whois 100.64.0.2
        meshd tailscale whois --json '[fd7a:115c:a1e0::2]:40000'
        """
        answer = _answer(config, address)
        if as_json:
            click.echo(msgspec.json.encode(answer))
        else:
            click.echo(_words(answer))
        if answer.scope is None:
            raise click.exceptions.Exit(1)

    return tailscale


def _answer(config: TailscaleConfig, address: str) -> Answer:
    try:
        peer = asyncio.run(whois(config.socket, address))
    except LocalApiError as error:
        return Answer(address, refused=str(error))
    if peer is None:
        return Answer(address, refused="nobody of the tailnet has this address")
    tags = peer.node.tags or ()
    known = Answer(address, peer.node.name, None if tags else peer.user_profile.login_name, tags)
    try:
        principal = principal_of(peer, config)
    except Denied as denied:
        return msgspec.structs.replace(known, refused=str(denied))
    return msgspec.structs.replace(known, scope=principal.scope, slots=principal.slots)


def _words(answer: Answer) -> str:
    who = [word for word in (answer.node, answer.user, *answer.tags) if word]
    may = f"{answer.scope} on {', '.join(answer.slots)}" if answer.scope else f"refused: {answer.refused}"
    text = "  ".join([answer.address, *who, may])
    return "".join(char if char.isprintable() else "?" for char in text)
