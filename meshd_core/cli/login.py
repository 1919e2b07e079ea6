"""Keeping one's own token for another node."""

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import note
from meshd_core.cli.logins import Login, Logins
from meshd_core.cli.render import show_json
from meshd_core.cli.token_input import given_token
from meshd_core.client import MeshdClient
from meshd_core.errors import MeshdError, NodeNotFound


@click.command()
@click.argument("node")
@click.option("--at", metavar="URL", help="Where the node is. Default: as this machine's daemon knows it.")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@click.option("--remove", is_flag=True, help="Forget the token that is kept.")
@client_command
def login(client: MeshdClient, as_json: bool, node: str, at: str | None, token_stdin: bool, remove: bool) -> None:
    """Keep your own token for another node, for what that node does only for who asks it itself.

    Those are keys, interrupts, start, stop and resize. The token is asked for, tried, and kept beside your
    configuration in a file of your own (0600); `meshd stop claude-1@mac2` then uses it.

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
    token = given_token(None, token_stdin, f"Your token for {node} (it is not shown)")
    remark = _try(url, token, node)
    path = logins.keep(node, Login(url, token))
    if as_json:
        show_json({"node": node, "url": url, "file": str(path)})
        return
    click.echo(f"logged in to {node} at {url}")
    note(remark)


def _url_of(client: MeshdClient, node: str) -> str:
    for peer in client.mesh_nodes():
        if peer.node == node:
            return peer.url
    raise NodeNotFound(
        f"the daemon knows no node {node!r}", hint="name its URL with --at; 'meshd nodes' lists the known"
    )


def _try(url: str, token: str, node: str) -> str:
    """Ask the node who it is. Raises MeshdError if it is another, or does not take the token."""
    try:
        with MeshdClient(url=url, token=token) as client:
            found = client.node()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if found.name != node:
        raise MeshdError(f"the node at {url} says that its name is {found.name!r}", hint="nothing was kept")
    return f"{node} runs meshd {found.version}"
