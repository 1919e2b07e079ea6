"""`meshd doctor`: looks at what a person would look at, and says what is wrong and the way out."""

from pathlib import Path

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.render import clean, show_json
from meshd_core.client import MeshdClient
from meshd_core.exit_codes import ExitCode

_FOLDER = click.Path(file_okay=False, path_type=Path)
_MARKS = {"ok": "ok      ", "warning": "warning ", "broken": "BROKEN  "}


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="The configuration [env: MESHD_CONFIG]."
)
@click.option("--state-dir", type=_FOLDER, metavar="DIR", help="Tokens, receipts, journals [env: MESHD_STATE_DIR].")
@client_command
def doctor(client: MeshdClient, as_json: bool, config: Path | None, state_dir: Path | None) -> None:
    """Check this installation: Python, folders, configuration, plugins, agents, daemon, peers, sinks, tokens.

    Each finding says what is wrong and the way out. Exits 1 if something is broken; a warning is not.

    \b
    meshd doctor
    meshd doctor --json | jq '.findings[] | select(.status != "ok")'
    """
    from meshd_core.cli import findings
    from meshd_core.config.places import Places

    context = click.get_current_context().params
    runtime_dir = context["runtime_dir"] or (context["socket"].parent if context["socket"] else None)
    places = Places.find(config, state_dir, runtime_dir)
    of_file, checked = findings.of_configuration(config, state_dir)
    found = [*findings.of_machine(places), *of_file, *findings.of_daemon(client, places, checked)]
    broken = [one for one in found if one.status == "broken"]
    if as_json:
        show_json({"ok": not broken, "findings": found})
    else:
        for one in found:
            click.echo(clean(f"{_MARKS[one.status]}{one.check:<8} {one.message}"))
            if one.hint:
                click.echo(clean(f"{'':17}hint: {one.hint}"))
        click.echo(f"{len(broken)} broken" if broken else "nothing is broken")
    if broken:
        raise click.exceptions.Exit(ExitCode.FAILURE)
