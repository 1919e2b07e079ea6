"""Completions for shells: commands and options by click, names of slots from the daemon, quickly and silently."""

from typing import Any

import click
import msgspec
from click.shell_completion import CompletionItem, get_completion_class

_SHELLS = ("bash", "zsh", "fish")
_PATIENCE_S = 1.0
_VARIABLE = "_MESHD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completions for a shell, to be read by its start-up file.

    \b
    echo 'eval "$(meshd completion bash)"' >> ~/.bashrc
    echo 'eval "$(meshd completion zsh)"' >> ~/.zshrc
    meshd completion fish > ~/.config/fish/completions/meshd.fish
    """
    shape = get_completion_class(shell)
    assert shape is not None
    click.echo(shape(click.get_current_context().find_root().command, {}, "meshd", _VARIABLE).source())


def slot_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The slots of the daemon that the options before name; none if it doesn't answer at once."""
    from meshd_core.cli.connect import PLACE_OPTIONS, chosen_client
    from meshd_core.client import BadAnswer, Unreachable
    from meshd_core.client.slot_calls import slots
    from meshd_core.errors import MeshdError

    given: dict[str, Any] = {name: ctx.params.get(name) for name in PLACE_OPTIONS}
    try:
        with chosen_client(**given) as client:
            found = client.execute(msgspec.structs.replace(slots(), timeout_s=_PATIENCE_S, repeatable=False))
    except (MeshdError, Unreachable, BadAnswer, click.ClickException, OSError):
        return []
    return [
        CompletionItem(slot.name, help=f"{slot.kind}, {slot.status}")
        for slot in found
        if slot.name.startswith(incomplete)
    ]
