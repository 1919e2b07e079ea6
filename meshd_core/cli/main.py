"""The command group: finds commands by name without importing the others, and turns errors into exit codes.

`meshd ls` has to be quick, so a command's module is imported only when it runs, and plugins only for `--help` and for
names that core doesn't have.
"""

import importlib
import os
import sys
from typing import Any

import click

from meshd_core import __version__
from meshd_core.cli.failures import explained

COMMANDS: dict[str, str] = {
    "serve": "meshd_core.cli.serve:serve",
    "demo": "meshd_core.cli.demo:demo",
    "init": "meshd_core.cli.init:init",
    "down": "meshd_core.cli.down:down",
    "ls": "meshd_core.cli.slots:ls",
    "show": "meshd_core.cli.slots:show",
    "explain": "meshd_core.cli.explain:explain",
    "inject": "meshd_core.cli.inject:inject",
    "dispatch": "meshd_core.cli.dispatch:dispatch",
    "broadcast": "meshd_core.cli.dispatch:broadcast",
    "receipt": "meshd_core.cli.inject:receipt",
    "answer": "meshd_core.cli.hands:answer",
    "interrupt": "meshd_core.cli.hands:interrupt",
    "keys": "meshd_core.cli.hands:keys",
    "resize": "meshd_core.cli.hands:resize",
    "attach": "meshd_core.cli.attach:attach",
    "wait": "meshd_core.cli.slots:wait",
    "tail": "meshd_core.cli.tail:tail",
    "screen": "meshd_core.cli.slots:screen",
    "messages": "meshd_core.cli.messages:messages",
    "start": "meshd_core.cli.lifecycle:start",
    "stop": "meshd_core.cli.lifecycle:stop",
    "restart": "meshd_core.cli.lifecycle:restart",
    "reload": "meshd_core.cli.reload:reload",
    "nodes": "meshd_core.cli.nodes:nodes",
    "peer": "meshd_core.cli.peer:peer",
    "login": "meshd_core.cli.login:login",
    "token": "meshd_core.cli.tokens:token",
    "sinks": "meshd_core.cli.sinks:sinks",
    "plugin": "meshd_core.cli.plugins:plugin",
    "config": "meshd_core.cli.config:config",
    "doctor": "meshd_core.cli.doctor:doctor",
    "completion": "meshd_core.cli.completion:completion",
}
"""In the order of the help page: name and where the command is."""


class LazyGroup(click.Group):
    """Core's commands by name, then what plugins add; errors of any command end as one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in sorted(self._plugin_commands()) if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return self._plugin_commands().get(cmd_name)
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        with explained(ctx):
            return super().invoke(ctx)

    def _plugin_commands(self) -> dict[str, click.Command]:
        """What plugins added, loaded once for this group's run. A plugin can't replace a command of core."""
        if "plugins" not in self.__dict__:
            from meshd_core.cli.plugin_commands import plugin_commands

            self.__dict__["plugins"] = plugin_commands()
        found: dict[str, click.Command] = self.__dict__["plugins"]
        return found


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 failed, 2 wrong usage, 69 no daemon answers, 124 not reached in time.",
)
@click.version_option(__version__, prog_name="meshd")
def cli() -> None:
    """Agents on this machine, over HTTP: see them, prompt them, read them.

    \b
    meshd demo                                 a daemon with a demo agent, in the foreground
    meshd ls                                   the slots and what they are doing
    meshd inject demo "hello" --until completed
    meshd tail demo                            follow its output
    """


def main() -> None:
    """The entry point of the `meshd` command."""
    # A daemon's text may hold characters that the terminal's encoding doesn't have: show them escaped, don't fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="meshd")
    finally:
        _let_go_of_closed_terminals()


def _let_go_of_closed_terminals() -> None:
    """What can't be written to a terminal that was closed is dropped: else the interpreter's own last flush fails, and
    turns every exit code into 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
