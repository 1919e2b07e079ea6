"""docs/cli.md: every command, from click."""

import inspect
from collections.abc import Iterator

import click

from docs.generate.markdown import document, paragraph, table
from meshd_core.cli.main import COMMANDS, cli
from meshd_core.plugins.host import PluginHost

_INTRO = """
Every command has `--help`, and every command that answers something has `--json`. Client commands find the daemon of
this user by its Unix socket; `--url` with a token, `--socket` or `--runtime-dir` name another. Exit codes are in
[errors.md](errors.md#exit-codes). `meshd completion` prints completions for the shell.
"""
_CONNECTION = ("url", "token", "token_file", "socket", "runtime_dir")
"""Options that every client command has, told once."""


def page(host: PluginHost) -> str:
    """The page, with the commands of these plugins."""
    context = click.Context(cli, info_name="meshd")
    commands = [(name, cli.get_command(context, name)) for name in COMMANDS]
    parts = ["# Commands", paragraph(_INTRO), "## Options of all client commands", _connection(context)]
    for name, command in commands:
        parts += _command(f"meshd {name}", command, 2)
    for name, command in _of_plugins(host):
        parts += _command(f"meshd {name}", command, 2, note="Comes with a plugin.")
    return document(parts)


def _of_plugins(host: PluginHost) -> list[tuple[str, click.Command]]:
    group = click.Group("meshd")
    host.cli_commands(group)
    return sorted(group.commands.items())


def _connection(context: click.Context) -> str:
    shown = cli.get_command(context, "ls")
    assert shown is not None
    return _options([option for option in _own_options(shown) if option.name in _CONNECTION])


def _command(path: str, command: click.Command | None, level: int, note: str = "") -> Iterator[str]:
    assert command is not None
    context = click.Context(command, info_name=path)
    yield f"{'#' * level} {path}"
    prose, examples = _told(command)
    yield from (paragraph(part) for part in prose)
    yield note
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(f"{path} {name}", command.get_command(context, name), level + 1)
        return
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield "```console\n" + "\n".join(f"$ {line}" for line in examples or [usage]) + "\n```"
    options = _own_options(command)
    if any(option.name == "url" for option in options):
        options = [option for option in options if option.name not in _CONNECTION]
    arguments = " ".join(param.make_metavar(context) for param in command.params if isinstance(param, click.Argument))
    yield f"Arguments: `{arguments}`" if arguments else ""
    yield _options(options) if options else ""


def _told(command: click.Command) -> tuple[list[str], list[str]]:
    """The paragraphs of the help, and its examples: what click is told not to wrap."""
    prose: list[str] = []
    examples: list[str] = []
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        if part.startswith("\b"):
            examples += [line.strip() for line in part.splitlines()[1:] if line.strip()]
        else:
            prose.append(part)
    return prose, examples


def _own_options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def _options(options: list[click.Option]) -> str:
    rows = []
    for option in options:
        context = click.Context(click.Command("x"))
        value = "" if option.is_flag or option.count else f" {option.make_metavar(context).removesuffix(' RANGE')}"
        names = ", ".join(f"`{name}{value if name.startswith('--') or len(option.opts) == 1 else ''}`"
                          for name in (*option.opts, *option.secondary_opts))  # fmt: skip
        default = f"`{option.default:g}`" if isinstance(option.default, float) else f"`{option.default}`"
        is_shown = option.show_default and option.default is not None
        rows.append((names, default if is_shown else "", " ".join((option.help or "").split())))
    return table(("option", "default", "does"), rows)
