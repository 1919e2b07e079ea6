"""API tokens: create, list, revoke; through the daemon, or in its state directory while none runs."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from meshd_core.cli.connect import client_command
from meshd_core.cli.failures import note
from meshd_core.cli.render import show_json, show_table
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.types import SCOPES, NewToken, Scope, TokenInfo, TokenList

if TYPE_CHECKING:
    from meshd_core.auth.tokens import StoredToken, TokenStore

T = TypeVar("T")

_state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the tokens lie, for use while no daemon runs [env: MESHD_STATE_DIR].",
)


def _id(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if re.fullmatch(r"[a-z0-9]{8}", value) is None:  # it may be a whole token: not shown, and not sent in a path
        raise click.BadParameter("an id is the 8 characters that 'meshd token list' shows, as ab12cd34.")
    return value


@click.group()
def token() -> None:
    """Create, list and revoke API tokens.

    Needs an admin credential; the local socket is one.
    """


@token.command()
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="Each scope contains the ones before it.")
@click.option("--slots", multiple=True, metavar="GLOB", help="Only these slots; may be repeated. Default: all here.")
@click.option("--label", metavar="TEXT", help="What the token is for.")
@click.option("--expires", metavar="AGE", help="As 30d, 12h or 90m. Default: never.")
@_state_dir
@client_command
def create(
    client: MeshdClient,
    as_json: bool,
    scope: Scope,
    slots: tuple[str, ...],
    label: str | None,
    expires: str | None,
    state_dir: Path | None,
) -> None:
    """Create a token and print it; it is never shown again.

    \b
    meshd token create --scope read --label dashboard
    meshd token create --scope inject --slots 'claude-*' --expires 30d --json
    """
    globs = slots or ("*",)

    def without_daemon(store: "TokenStore") -> NewToken:
        secret, kept = store.create(scope, globs, label, expires)
        return NewToken(
            token=secret, kid=kept.kid, scope=kept.scope, slots=kept.slots, label=kept.label, created=kept.created,
            expires=kept.expires,
        )  # fmt: skip

    made = _either(
        lambda: client.create_token(scope, slots=globs, label=label, expires=expires),
        without_daemon,
        _store(client, state_dir),
    )
    if as_json:
        show_json(made)
        return
    click.echo(made.token)
    note(f"id {made.kid}, scope {made.scope}, slots {', '.join(made.slots)}, expires {made.expires or 'never'}")


@token.command("list")
@_state_dir
@client_command
def list_tokens(client: MeshdClient, as_json: bool, state_dir: Path | None) -> None:
    """List the tokens, without their secrets.

    \b
    meshd token list
    """
    found = _either(client.tokens, lambda store: [_info(kept) for kept in store.all()], _store(client, state_dir))
    if as_json:
        show_json(TokenList(found))
        return
    rows = [
        (one.kid, one.scope, ", ".join(one.slots), one.created or "-", one.expires or "never", one.label or "")
        for one in found
    ]
    show_table(("ID", "SCOPE", "SLOTS", "CREATED", "EXPIRES", "LABEL"), rows)


@token.command()
@click.argument("kid", metavar="ID", callback=_id)
@_state_dir
@client_command
def revoke(client: MeshdClient, as_json: bool, kid: str, state_dir: Path | None) -> None:
    """End a token at once.

    \b
    meshd token revoke ab12cd34
    """

    def without_daemon(store: "TokenStore") -> None:
        store.revoke(kid)

    _either(lambda: client.revoke_token(kid), without_daemon, _store(client, state_dir))
    if as_json:
        show_json({"revoked": kid})
    else:
        click.echo(f"revoked {kid}")


def _either(with_daemon: Callable[[], T], without_daemon: "Callable[[TokenStore], T]", folder: Path | None) -> T:
    """Ask the daemon; if none runs and `folder` holds tokens, do it there: the store locks against a daemon's start."""
    try:
        return with_daemon()
    except Unreachable:
        if folder is None or not (folder / "tokens.json").exists():
            raise
    from meshd_core.auth.tokens import TokenStore, TokensUnreadable

    note(f"no daemon answers; using the tokens in {folder}")
    try:
        return without_daemon(TokenStore(folder))
    except (TokensUnreadable, OSError) as error:
        raise click.ClickException(f"the tokens can't be used: {error}") from error


def _store(client: MeshdClient, state_dir: Path | None) -> Path | None:
    """The folder that belongs to the daemon that was asked; None if that can't be told."""
    if not client.is_local:
        return None
    context = click.get_current_context().params
    moved = context["socket"] or context["runtime_dir"] or os.environ.get("MESHD_RUNTIME_DIR")
    if state_dir is None and moved and not os.environ.get("MESHD_STATE_DIR"):
        return None
    from meshd_core.config.places import Places

    return Places.find(state_dir=state_dir).state_dir


def _info(kept: "StoredToken") -> TokenInfo:
    return TokenInfo(kept.kid, kept.scope, kept.slots, kept.label, kept.created, kept.expires)
