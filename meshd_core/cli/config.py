"""Judging a configuration before a daemon does."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshd_core.cli.failures import note
from meshd_core.cli.render import clean, show_json
from meshd_core.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshd_core.config.check import CheckedConfig
    from meshd_core.config.problems import ConfigProblem
    from meshd_core.plugins.host import PluginHost


@click.group()
def config() -> None:
    """Look at configurations."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--config", "named", type=click.Path(path_type=Path), metavar="FILE", help="The same as FILE [env: MESHD_CONFIG]."
)
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def check(file: Path | None, named: Path | None, as_json: bool) -> None:
    """Check a configuration against what is installed: all errors at once, each with its place.

    Exits as `meshd serve` would: 78 if the file is wrong, 76 if a required plugin does not load, 72 if the program or
    the folder of a slot that is to be started isn't there.

    \b
    meshd config check
    meshd config check ./meshd.toml --json
    """
    from meshd_core.cli.local import local_view
    from meshd_core.config.check import check_against
    from meshd_core.config.problems import ConfigErrors, ConfigProblem
    from meshd_core.plugins.failures import PluginRequiredError

    if file is not None and named is not None:
        raise click.UsageError("FILE and --config exclude each other.")
    place = "the configuration"
    try:
        view = local_view(file or named)
        place = str(view.places.config_file)
        checked = check_against(view.loaded, view.host)
        view.host.require(checked.config.node.required_plugins, checked.config.auth.providers)
        if obstacles := list(_obstacles(checked, view.host)):
            _tell(place, as_json, obstacles, checked.warnings)
            raise click.exceptions.Exit(ExitCode.MISSING_BINARY)
    except ConfigErrors as error:
        _tell(place, as_json, error.problems, ())
        raise click.exceptions.Exit(ExitCode.CONFIG) from error
    except PluginRequiredError as error:
        if as_json:
            show_json({"ok": False, "problems": [{"place": place, "reason": str(error), "hint": None}]})
        else:
            note(f"meshd: {error}")
        raise click.exceptions.Exit(ExitCode.PLUGIN) from error
    absent = [ConfigProblem(place, "there is no such file: all is default", "'meshd init' writes one")]
    _tell(place, as_json, (), [*(absent if view.loaded.path is None else ()), *checked.warnings])


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors, with what the installed plugins add.

    An editor that knows TOML (Even Better TOML, taplo) uses it if the file's first line names it:
    #:schema ./meshd.schema.json

    \b
    meshd config schema > meshd.schema.json
    """
    from meshd_core.cli.local import installed_view
    from meshd_core.config.schema import schema as made

    host = installed_view().host
    show_json(made(host.inventory(), host.config_types()))


def _obstacles(checked: "CheckedConfig", host: "PluginHost") -> "Iterator[ConfigProblem]":
    """What `serve` would stumble over though the file is right by itself."""
    from meshd_core.config.problems import ConfigProblem
    from meshd_core.daemon.assembly import start_obstacles

    for obstacle in start_obstacles(checked, host):
        yield ConfigProblem(checked.loaded.document.file, obstacle.message, obstacle.hint)


def _tell(place: str, as_json: bool, problems: "Sequence[ConfigProblem]", warnings: "Sequence[ConfigProblem]") -> None:
    if as_json:
        show_json({"ok": not problems, "problems": list(problems), "warnings": list(warnings)})
        return
    for problem in problems:
        note(str(problem))
    for warning in warnings:
        note(f"warning: {warning}")
    click.echo(clean(f"{place}: " + (f"{len(problems)} wrong" if problems else "ok")))
