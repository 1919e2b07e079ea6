"""`meshd supabase`: what a person needs to set the sink up."""

import json
import os
import re
import sys
from pathlib import Path

import click

from meshd_supabase.credentials import Claims, mint

MAX_SECRET_BYTES = 4096


@click.group()
def supabase() -> None:
    """Set up the fleet sink `supabase`."""


@supabase.command("jwt")
@click.option("--node", metavar="NAME", help="A token that writes the rows of this node and of no other.")
@click.option("--viewer", is_flag=True, help="A token that reads the rows of all nodes.")
@click.option(
    "--secret-file", type=click.Path(path_type=Path), metavar="FILE", help="Holds the signing secret; - is stdin."
)
@click.option("--secret-env", metavar="NAME", help="The environment variable that holds it.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is valid.")
@click.option("--role", default="authenticated", show_default=True, help="The database role that it acts as.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a new file of mode 0600.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def make_jwt(
    node: str | None,
    viewer: bool,
    secret_file: Path | None,
    secret_env: str | None,
    days: int,
    role: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Mint a JWT, signed with the project's JWT secret (HS256).

    Run it where the secret is, not on the node: a node gets only its token. The secret is read from a file, from
    stdin or from a variable, never from the command line.

    \b
    meshd supabase jwt --node mac1 --secret-file jwt.secret --out mac1.jwt
    meshd supabase jwt --viewer --secret-env SUPABASE_JWT_SECRET --days 30
    """
    if (node is None) == (not viewer):
        raise click.UsageError("give either --node or --viewer")
    if node is not None and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", node):
        raise click.UsageError(f"--node: {node!r} is not the name of a node")
    if role in ("service_role", "supabase_admin", "postgres", "anon"):
        raise click.UsageError(f"--role: {role} is not for a node or a viewer: row security would not be what counts")
    claims = Claims(node=node, viewer=viewer, role=role, lifetime_s=days * 86400)
    try:
        token = mint(claims, _secret(secret_file, secret_env))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if out is not None:
        _write_private(out, token)
    shown: dict[str, object] = {"node": node, "viewer": viewer, "role": role, "days": days}
    shown |= {"file": str(out)} if out is not None else {"token": token}
    if as_json:
        click.echo(json.dumps(shown))
    else:
        click.echo(f"written to {out}" if out is not None else token)


def _secret(file: Path | None, variable: str | None) -> str:
    """The signing secret, white space at its ends removed. Raises ClickException without any of it."""
    if (file is None) == (variable is None):
        raise click.UsageError("give either --secret-file or --secret-env")
    if variable is not None:
        secret = os.environ.get(variable, "").strip()
        if not secret:
            raise click.ClickException("the variable that --secret-env names is not set, or empty")
        return secret
    assert file is not None
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(MAX_SECRET_BYTES)
        else:
            with file.open("rb") as source:
                raw = source.read(MAX_SECRET_BYTES)
        return raw.decode().strip()
    except OSError as error:
        raise click.ClickException(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not UTF-8 text") from None


def _write_private(path: Path, token: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; remove it first, or choose another name") from None
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from None
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")
