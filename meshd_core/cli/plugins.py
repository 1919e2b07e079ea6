"""What is installed."""

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import note
from meshd_core.cli.render import show_json, show_table
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.types import PluginInfo, PluginList


@click.group()
def plugin() -> None:
    """Look at the plugins."""


@plugin.command("list")
@click.option("--local", is_flag=True, help="What is installed here, even while a daemon answers.")
@client_command
def list_plugins(client: MeshdClient, as_json: bool, local: bool) -> None:
    """List the plugins with what they bring: the daemon's, or without a daemon those installed here.

    \b
    meshd plugin list
    meshd plugin list --json
    """
    found = _local() if local else _either(client)
    if as_json:
        show_json(PluginList(found))
        return
    rows = [
        (one.name, f"{one.distribution} {one.version}".strip(), one.status, ", ".join(one.provides), one.error or "")
        for one in found
    ]
    show_table(("NAME", "DISTRIBUTION", "STATUS", "PROVIDES", "ERROR"), rows)


def _either(client: MeshdClient) -> list[PluginInfo]:
    try:
        return client.plugins()
    except Unreachable:
        if not client.is_local:
            raise
    note("no daemon answers; these are the plugins installed here")
    return _local()


def _local() -> list[PluginInfo]:
    from meshd_core.cli.local import local_view

    return local_view().host.infos()
