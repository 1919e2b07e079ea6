"""Keeping one's own token for another node."""

from urllib.parse import urlsplit

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import note
from meshd_core.cli.logins import Login, Logins
from meshd_core.cli.render import show_json
from meshd_core.cli.token_input import given_token
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.config.addresses import may_be_private
from meshd_core.errors import Forbidden, MeshdError, NodeNotFound, NotFound, NotSupported, Unauthorized
from meshd_core.types import SCOPES, Scope


@click.command()
@click.argument("node")
@click.option("--at", metavar="URL", help="Where the node is. Default: as this machine's daemon knows it.")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@click.option("--insecure", is_flag=True, help="Allow plain http outside loopback and a tailnet.")
@click.option("--remove", is_flag=True, help="Forget the token that is kept.")
@client_command
def login(
    client: MeshdClient, as_json: bool, node: str, at: str | None, token_stdin: bool, insecure: bool, remove: bool
) -> None:
    """Keep a token of your own for another node, to control its slots from here.

    Through this machine's daemon you see and prompt the slots of NODE. Attach, keys, interrupts, start, stop and resize
    a node does only for callers with a token of their own there. Make one on NODE, of scope control. It is asked for
    here, tried, and kept beside your configuration in a file of your own (0600); `meshd stop claude-1@mac2` uses it.

    \b
    meshd login mac2
    ssh mac2 meshd token create --scope control | meshd login mac2 --token-stdin
    meshd login mac2 --remove
    """
    logins = Logins.of_this_user()
    if remove:
        found = logins.forget(node)
        if as_json:
            show_json({"node": node, "removed": found})
        else:
            click.echo(f"forgot the token for {node}" if found else f"there is no token for {node}")
        return
    url = (at or _url_of(client, node)).rstrip("/")
    if not insecure:
        _require_private(url)
    made = "'meshd token create --scope control'"
    token = given_token(None, token_stdin, f"Your token for {node}, made there with {made} (it is not shown)")
    wanted = Login(url, token, insecure)
    remarks = _try(wanted, node)
    path = logins.keep(node, wanted)
    if as_json:
        show_json({"node": node, "url": url, "file": str(path)})
        return
    click.echo(f"logged in to {node} at {url}")
    for remark in remarks:
        note(remark)


def _require_private(url: str) -> None:
    """Raises UsageError for plain http to a host that can be neither this machine nor in a tailnet."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not may_be_private(parts.hostname or ""):
        raise click.UsageError(
            f"{url} is plain http to a host that is neither this machine nor in a tailnet: the token could be read on"
            " its way. Use https, or --insecure if the network is yours alone."
        )


def _url_of(client: MeshdClient, node: str) -> str:
    for peer in client.mesh_nodes():
        if peer.node == node:
            return peer.url
    raise NodeNotFound(
        f"the daemon knows no node {node!r}", hint="name its URL with --at; 'meshd nodes' lists the known"
    )


def _try(login: Login, node: str) -> list[str]:
    """Ask the node who it is, and what the token may do; what is to be known of it. Raises MeshdError if it is another
    node, does not take the token, or serves only nodes at the URL.
    """
    url = login.url
    try:
        with login.client() as client:
            found = client.node()
            if found.name != node:
                raise MeshdError(f"the node at {url} says that its name is {found.name!r}", hint="nothing was kept")
            held = _scope(client)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except Unauthorized as error:
        hint = f"make one on {node}: meshd token create --scope control"
        raise MeshdError(f"the node at {url} does not take this token; nothing was kept", hint=hint) from error
    except Unreachable as error:
        error.hint = "is it up, and is that its URL? --at names another; --insecure allows plain http"
        raise
    except NotFound as error:
        hint = "name its other port with --at"
        raise MeshdError(f"{url} is a port for nodes alone; nothing was kept", hint=hint) from error
    remarks = [f"{node} runs meshd {found.version}"]
    if SCOPES.index(held) < SCOPES.index("control"):
        remarks.append(f"warning: this token has the scope {held}; attach, keys, start and stop need control")
    return remarks


def _scope(client: MeshdClient) -> Scope:
    """The token's scope, as a refusal tells it. Raises NotFound at a port for nodes."""
    try:
        client.tokens()
    except Forbidden as error:
        return next((scope for scope in SCOPES if scope == error.details.get("held")), "admin")
    except NotSupported:
        pass  # it is asked only of who may do everything
    return "admin"
