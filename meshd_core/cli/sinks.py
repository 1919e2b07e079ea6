"""Where the node's events go."""

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.render import age, show_json, show_table
from meshd_core.client import MeshdClient
from meshd_core.types import SinkList


@click.command()
@client_command
def sinks(client: MeshdClient, as_json: bool) -> None:
    """List the fleet sinks: whether each delivers, what waits, what was lost.

    \b
    meshd sinks
    meshd sinks --json
    """
    found = client.sinks()
    if as_json:
        show_json(SinkList(found))
        return
    rows = [
        (
            one.name, one.plugin, one.status, str(one.queued), str(one.sent), str(one.dropped), str(one.rejected),
            age(one.last_sent), one.error or "",
        )
        for one in found
    ]  # fmt: skip
    show_table(("NAME", "PLUGIN", "STATUS", "QUEUED", "SENT", "DROPPED", "REJECTED", "LAST", "ERROR"), rows)
