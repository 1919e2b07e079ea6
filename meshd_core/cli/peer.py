"""Adding a node to the table of the configuration."""

import asyncio
import os
import tomllib
from pathlib import Path

import click
import msgspec

from meshd_core.cli.failures import note, use_json
from meshd_core.cli.render import show_json
from meshd_core.cli.token_input import given_token
from meshd_core.config.decode import Document, is_name
from meshd_core.config.load import judge, load_config
from meshd_core.config.model import PeerSection
from meshd_core.config.places import Places, default_node_name
from meshd_core.contracts.secrets import SecretRef
from meshd_core.errors import MeshdError


@click.group()
def peer() -> None:
    """Nodes of the mesh in the configuration."""


@peer.command()
@click.argument("name")
@click.argument("url")
@click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the token from FILE.")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@click.option("--insecure", is_flag=True, help="Allow plain http beyond loopback and tailnet addresses.")
@click.option("--no-probe", is_flag=True, help="Add it without asking it first: it may be off now.")
@click.option("--dry-run", is_flag=True, help="Ask it and show what would be written; write nothing.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The file [env: MESHD_CONFIG].")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs, errors too (on stderr).")
def add(
    name: str, url: str, token_file: Path | None, token_stdin: bool, insecure: bool, no_probe: bool, dry_run: bool,
    config: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Add the node NAME at URL to meshd.toml, with a token that NAME made for this node.

    The node is asked first: it has to be of that name and take the token. The entry goes to the end of the file, the
    rest stays as it is; the token goes into a file of its own beside it (0600) and is never shown.

    \b
    ssh mac2 meshd token create --scope inject --label peer:mac1 |
      meshd peer add mac2 http://100.64.0.2:9451 --token-stdin
    meshd reload
    """
    if as_json:
        use_json(click.get_current_context())
    if not is_name(name):
        raise click.BadParameter("a node's name is lower-case letters, digits, '.', '_' and '-'.", param_hint="NAME")
    file = Places.find(config).config_file
    file = file.resolve()  # a link stays a link
    section = PeerSection(name, url, SecretRef(file=f"{name}.token"), insecure)
    before, after, own = _composed(file, section)
    token = given_token(token_file, token_stdin, f"The token that {name} made for this node (it is not shown)")
    if not no_probe:
        _probe(section, token, own)
    token_path = file.parent / f"{name}.token"
    if not dry_run:
        _write(token_path, token.encode() + b"\n", 0o600)
        _write(file, after.encode(), (file.stat().st_mode & 0o777) if file.exists() else 0o600)
    if as_json:
        show_json(
            {"node": name, "url": url, "config": str(file), "token_file": str(token_path), "written": not dry_run}
        )
        return
    if dry_run:
        click.echo(after[len(before) :].lstrip("\n"), nl=False)
        note(f"nothing was written; the entry would go to {file}, the token to {token_path}")
        return
    click.echo(f"added {name} to {file}")
    note("'meshd reload' has a running daemon take it up")


def _composed(file: Path, section: PeerSection) -> tuple[str, str, str]:
    """The file's text without and with the entry, and this node's name. Raises ConfigErrors for what was wrong before,
    click's errors for what is wrong with the entry, MeshdError; the new text is right by itself.
    """
    config = load_config(file, explicit=False).config
    before = file.read_bytes().decode("utf-8-sig") if file.exists() else ""
    if any(known.name == section.name for known in config.nodes):
        raise MeshdError(f"{file} has a node {section.name!r} already", hint="change or remove that entry by hand")
    try:
        data = tomllib.loads(_appended(before, section, with_token=False))  # its token is not there yet
    except tomllib.TOMLDecodeError as error:
        hint = "write each of its nodes as a table [[nodes]]"
        raise MeshdError(f"an entry [[nodes]] can't be added at the end of {file}", hint=hint) from error
    for problem in judge(Document(file.name, data), file).problems:
        # Only the entry can be wrong, and nobody has seen a line of it: the words of the command line are named.
        hint = (problem.hint or "").replace("set insecure = true", "give --insecure")
        place = "NAME" if problem.place.endswith(".name") else "URL"
        raise click.BadParameter(f"{problem.reason}" + (f" ({hint})" if hint else ""), param_hint=place)
    return before, _appended(before, section, with_token=True), config.node.name or default_node_name()


def _appended(before: str, section: PeerSection, *, with_token: bool) -> str:
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    lines = ["[[nodes]]", f'name = "{section.name}"', f"url = {msgspec.json.encode(section.url).decode()}"]
    if with_token:
        lines.append(f'token = {{ file = "{section.name}.token" }}')
    if section.insecure:
        lines.append("insecure = true")
    return before + gap + "\n".join(lines) + "\n"


def _probe(section: PeerSection, token: str, own: str) -> None:
    """Ask the node who it is. Raises MeshdError."""
    from meshd_core.cli.nodes import look
    from meshd_core.mesh.peer import Peer

    found = asyncio.run(look(Peer(section, own, lambda ref: token)))
    if found.error is not None:
        hint = None
        if found.outcome == "unreachable":
            hint = "is it up, and does it listen at that address? --no-probe adds it unasked"
        elif found.outcome == "wrong_name":
            hint = "is the URL right? A node is added under the name that it gives itself"
        elif "token" in found.error:
            hint = f"a token for this node is made there: meshd token create --scope inject --label peer:{own}"
        raise MeshdError(f"node {section.name!r} at {section.url} can't be used: {found.error}", hint=hint)
    for remark in found.remarks:
        note(f"warning: {remark}")


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace `path`, whole or not at all. Raises MeshdError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MeshdError(f"{path} can't be written: {error.strerror}") from error
