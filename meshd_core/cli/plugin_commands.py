"""The commands that plugins add to `meshd`."""

import click

from meshd_core.cli.failures import note
from meshd_core.cli.local import local_view
from meshd_core.config.problems import ConfigErrors


def plugin_commands() -> dict[str, click.Command]:
    """Commands by name. With a configuration that can't be read there are none: `meshd config check` says why."""
    try:
        host = local_view().host
    except ConfigErrors:
        note("meshd: the configuration can't be read, so the commands of plugins are not there: meshd config check")
        return {}
    group = click.Group("meshd")
    host.cli_commands(group)
    return dict(group.commands)
