"""`meshd init`: a first configuration, from what is installed here."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshd_core.cli.demo_config import toml_string
from meshd_core.cli.failures import note
from meshd_core.cli.render import clean, show_json
from meshd_core.exit_codes import ExitCode

if TYPE_CHECKING:
    from meshd_core.plugins.host import PluginHost

_HEAD = """\
# The configuration of meshd. Every key: docs/configuration.md. Check it: meshd config check
# Other settings than these are left at their defaults.

[node]
# The name that other machines know this one by.
name = {name}
# Where to listen: this machine alone. For other machines add an address of a private network, or "0.0.0.0" and "::".
bind = {bind}
port = {port}
"""
_SLOT = """
# {kind}, found at {path}. It is not started unasked: meshd start {kind}
[[slots]]
name = "{kind}"
kind = "{kind}"
cwd = {cwd}
autostart = false               # true: started with each daemon
# args = ["--model", "opus"]    # after the kind's own arguments
# labels = {{ team = "web" }}     # for selecting slots
# filters = ["redact"]          # output filters, in order
"""
_NO_AGENT = """
# No agent CLI was found on PATH. A slot is any program in a terminal of its own:
# [[slots]]
# name = "helper"
# kind = "generic"
# command = ["my-agent", "--no-color"]
# [slots.options]
# ready = "^agent>"
"""
_NODE = """
# Another machine of the mesh; its token there: meshd token create --scope inject --label peer:{name}
# [[nodes]]
# name = "mac2"
# url = "http://100.64.0.2:9451"
# token = {{ file = "mac2.token" }}
"""


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it [env: MESHD_CONFIG]. Default: meshd.toml in the user's configuration folder.",
)
@click.option("--cwd", type=click.Path(path_type=Path), default=Path("."), metavar="DIR",
              help="The agents' working folder. Default: the current one.")  # fmt: skip
@click.option("--name", metavar="NAME", help="The node's name. Default: the host's short name.")
@click.option("--bind", multiple=True, metavar="ADDRESS", default=("127.0.0.1", "::1"), show_default=True,
              help="Where to listen; may be repeated.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=9451, show_default=True, help="0 picks a free one.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def init(
    config: Path | None, cwd: Path, name: str | None, bind: tuple[str, ...], port: int, force: bool, as_json: bool
) -> None:  # fmt: skip
    """Write a commented configuration with a slot for each agent CLI that is found here.

    Looks on PATH for the programs of the agent kinds that are installed. Nothing is started, and a file that is there
    stays unless --force is given.

    \b
    meshd init
    meshd init --config ./meshd.toml --cwd ~/src/shop
    meshd init --name mac1 --bind 127.0.0.1 --bind 100.64.0.1
    """
    from meshd_core.cli.local import bare_view
    from meshd_core.config.places import default_node_name

    view = bare_view()
    path = (config or view.places.config_file).expanduser().absolute()
    agents = found_agents(view.host)
    cwd = cwd.expanduser().absolute()
    text = first_config(name or default_node_name(), bind, port, cwd, agents)
    _check(text, path)
    _write(path, text, force)
    if not cwd.is_dir():
        note(f"warning: there is no folder {cwd}: no agent can start in it")
    if as_json:
        show_json({"file": str(path), "agents": agents})
        return
    click.echo(clean(f"wrote {path}"))
    for kind, found in agents.items():
        click.echo(clean(f"  slot {kind}: {found}"))
    if not agents:
        click.echo("  no agent CLI was found on PATH; see the file for a slot of any other program")
    click.echo("next: meshd config check, meshd serve" if config is None else f"next: meshd serve --config {path}")


def found_agents(host: "PluginHost") -> dict[str, str]:
    """Agent CLIs on PATH whose kind is installed: kind and path."""
    found = {}
    for name, kind in sorted(host.kinds.items()):
        commands = kind.profile.commands
        if commands and name != "demo" and (path := shutil.which(commands[0])):
            found[name] = path
    return found


def first_config(node: str, bind: Sequence[str], port: int, cwd: Path, agents: Mapping[str, str]) -> str:
    """The file's text."""
    parts = [_HEAD.format(name=toml_string(node), bind=f"[{', '.join(map(toml_string, bind))}]", port=port)]
    for kind, path in agents.items():
        shown = path.encode("unicode_escape").decode()
        parts.append(_SLOT.format(kind=kind, path=shown, cwd=toml_string(str(cwd))))
    if not agents:
        parts.append(_NO_AGENT)
    return "".join([*parts, _NODE.format(name=node)])


def _check(text: str, path: Path) -> None:
    """Raises a usage error if a name or an address that was given can't be."""
    import tomllib

    from meshd_core.config.decode import Document
    from meshd_core.config.load import judge

    if problems := judge(Document(path.name, tomllib.loads(text)), path).problems:
        raise click.UsageError("; ".join(str(problem) for problem in problems))


def _write(path: Path, text: str, force: bool) -> None:
    """Write the whole file or nothing. Fails if one is there, unless `force`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if force:
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
            return
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        note(f"meshd: {path} is there already")
        note("hint: --force writes over it")
        raise click.exceptions.Exit(ExitCode.FAILURE) from error
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from error
