"""Which daemon a command talks to: the options that every client command has, and what they mean together."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from meshd_core.cli.failures import use_json
from meshd_core.cli.logins import DirectClient
from meshd_core.client import MeshdClient

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

P = ParamSpec("P")
SOCKET_NAME = "meshd.sock"
PLACE_OPTIONS = ("url", "token", "token_file", "socket", "runtime_dir")

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--url", metavar="URL", help="A daemon's URL, as http://127.0.0.1:9451 [env: MESHD_URL]."),
    click.option(
        "--token",
        metavar="TOKEN",
        help="The token for --url [env: MESHD_TOKEN]. Others can read a command line: prefer the variable or "
        "--token-file.",
    ),
    click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the token from FILE."),
    click.option("--socket", type=click.Path(path_type=Path), metavar="PATH", help="The daemon's Unix socket."),
    click.option(
        "--runtime-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where the daemon's socket is [env: MESHD_RUNTIME_DIR].",
    ),
    click.option("--json", "as_json", is_flag=True, help="JSON for programs, errors too (on stderr)."),
)


def slot_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument SLOT, completed by the shell with the daemon's slots."""
    return click.argument("slot", callback=_slot_address, shell_complete=_slot_names)(command)


def _slot_address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """What no slot can be called is told here: in a path it would name something else."""
    from meshd_core.config.decode import is_name

    # Upper case is left to the daemon, which knows what was probably meant.
    slot, at, node = value.lower().partition("@")
    if not is_name(slot) or (at and not is_name(node)):
        rule = "letters, digits, '.', '_' and '-', as claude-1, or claude-1@mac2 for a slot of another node"
        raise click.BadParameter(f"{value[:130]!r} is no name of a slot: that is {rule}.")
    return value


def _slot_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from meshd_core.cli.completion import slot_names

    return slot_names(ctx, param, incomplete)


def client_command(command: Callable[Concatenate[MeshdClient, bool, P], None]) -> Callable[..., None]:
    """Give `command` the connection options and `--json`, and call it with a client and whether JSON is wanted."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:  # click calls with keywords alone
        as_json = bool(options.pop("as_json"))
        if as_json:
            use_json(click.get_current_context())
        place: dict[str, Any] = {name: options.pop(name) for name in PLACE_OPTIONS}
        with chosen_client(**place) as client:
            command(client, as_json, *args, **options)

    wrapped: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def chosen_client(
    url: str | None, token: str | None, token_file: Path | None, socket: Path | None, runtime_dir: Path | None
) -> MeshdClient:
    """The client that the options mean: an option before the environment, the local Unix socket by default."""
    if sum(place is not None for place in (url, socket, runtime_dir)) > 1:
        raise click.UsageError("--url, --socket and --runtime-dir exclude each other.")
    if token is not None and token_file is not None:
        raise click.UsageError("--token and --token-file exclude each other.")
    if socket is None and runtime_dir is None:
        url = url or os.environ.get("MESHD_URL") or None
    if token_file is not None:
        token = _token_in(token_file)
    try:
        if url is None:
            return DirectClient(socket=socket or local_socket(runtime_dir), token=token)
        return DirectClient(url=url, token=token or os.environ.get("MESHD_TOKEN") or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def local_socket(runtime_dir: Path | None) -> Path:
    """The Unix socket of the daemon of this user, or of the one that `runtime_dir` belongs to."""
    if runtime_dir is not None:
        return runtime_dir / SOCKET_NAME
    from meshd_core.config.places import Places

    return Places.find().runtime_dir / SOCKET_NAME


def _token_in(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a token file"
        raise click.UsageError(f"the token file {path} can't be read: {reason}.") from error
