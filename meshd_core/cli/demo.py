"""`meshd demo`: a daemon in a folder of its own, with an agent that needs nothing installed."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshd_core.cli.demo_config import demo_config, found_agents, is_untouched
from meshd_core.cli.failures import note

if TYPE_CHECKING:
    from meshd_core.daemon.run import ReadyInfo


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".meshd"),
    show_default=True,
    metavar="DIR",
    help="Configuration, state and sockets all go here.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9451, show_default=True, help="0 picks a free one.")
def demo(folder: Path, port: int) -> None:
    """Run a daemon with a demo agent, to try things.

    It listens on loopback only, and Ctrl-C ends everything. Agent CLIs that are found on PATH are listed as stopped
    slots, never started unasked. DIR/meshd.toml is yours to edit: an edited file is not written again.

    \b
    meshd demo
    meshd demo --dir /tmp/try --port 0
    """
    from meshd_core.daemon.run import ServeOptions
    from meshd_core.daemon.run import serve as run

    config = folder / "meshd.toml"
    _write(config, port)
    options = ServeOptions(
        config=config,
        state_dir=folder / "state",
        runtime_dir=folder / "run",
        on_ready=lambda ready: _welcome(ready, folder),
        stop_agents_on_signal=True,
    )
    raise click.exceptions.Exit(run(options))


def _write(path: Path, port: int) -> None:
    """Write the configuration, unless a person has edited the one that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not is_untouched(path.read_text(encoding="utf-8", errors="replace")):
            note(f"using {path} as you edited it")
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(demo_config(port, Path.cwd(), found_agents()), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from error


def _welcome(ready: "ReadyInfo", folder: Path) -> None:
    """Where it is, and three commands that work when pasted into another shell in the same folder."""
    from shlex import quote

    program, place = _program(), f"--runtime-dir {quote(str(folder / 'run'))}"
    token = quote(_relative(Path(ready.token_file)))
    lines = [
        f"meshd is up at {' and '.join(ready.urls)}",
        f"the admin token is in {_relative(Path(ready.token_file))}",
        "",
        "In another shell, in this folder, try:",
        f'  curl -s -H "Authorization: Bearer $(cat {token})" {ready.urls[0].rstrip("/")}/slots',
        f"  {program} inject demo hello --until completed {place}",
        f"  {program} tail demo {place}",
        "",
        "Ctrl-C here ends everything.",
    ]
    click.echo("\n".join(lines))
    sys.stdout.flush()


def _program() -> str:
    """`meshd` as the person who started this can type it again."""
    from shlex import quote

    started = sys.argv[0]
    if started.endswith("__main__.py"):
        return f"{quote(_relative(Path(sys.executable)))} -m meshd_core.cli"
    return quote(_relative(Path(started))) if os.sep in started else quote(started)


def _relative(path: Path) -> str:
    """`path` from the current folder if it lies below it, else as it is."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
