"""Running the daemon in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshd_core.cli.failures import note

if TYPE_CHECKING:
    from meshd_core.daemon.run import ReadyInfo

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration [env: MESHD_CONFIG]. Default: meshd.toml in the user's configuration folder.",
)
@click.option("--state-dir", type=_FOLDER, metavar="DIR", help="Tokens, receipts, journals [env: MESHD_STATE_DIR].")
@click.option("--runtime-dir", type=_FOLDER, metavar="DIR", help="Sockets [env: MESHD_RUNTIME_DIR].")
def serve(config: Path | None, state_dir: Path | None, runtime_dir: Path | None) -> None:
    """Run the daemon in the foreground. Its agents outlive it; `meshd down` ends them too.

    Exit codes: 71 an address is taken, 73 a folder can't be used, 74 the keeper, 75 another daemon holds this state,
    76 a required plugin, 78 the configuration.

    \b
    meshd serve
    meshd serve --config ./meshd.toml --state-dir ./state --runtime-dir ./run
    """
    from meshd_core.daemon.run import ServeOptions
    from meshd_core.daemon.run import serve as run

    options = ServeOptions(config=config, state_dir=state_dir, runtime_dir=runtime_dir, on_ready=_say_ready)
    raise click.exceptions.Exit(run(options))


def _say_ready(ready: "ReadyInfo") -> None:
    note(f"meshd listens on {', '.join(ready.urls)} and {ready.socket}")
    note(f"the admin token is in {ready.token_file}")
