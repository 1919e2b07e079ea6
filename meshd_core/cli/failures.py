"""Errors as people and programs see them: a message on stderr and an exit code that names the cause."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from meshd_core.cli.render import clean
from meshd_core.client import BadAnswer, Unreachable
from meshd_core.errors import MeshdError
from meshd_core.exit_codes import ExitCode, StartupError

INTERRUPTED = 130
TIMED_OUT = 124  # as coreutils' timeout
_JSON = "meshd_core.json"


class NotReached(Exception):
    """What was waited for did not come in time."""

    code = "timeout"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def use_json(ctx: click.Context) -> None:
    """From now on errors of this run are JSON, too."""
    ctx.meta[_JSON] = True


@contextmanager
def explained(ctx: click.Context) -> Iterator[None]:
    """Errors of the commands inside become one message on stderr and the exit code of their cause."""
    try:
        yield
    except MeshdError as error:
        _tell(ctx, error.code, error.message, error.hint, error.details)
        raise click.exceptions.Exit(ExitCode.FAILURE) from error
    except Unreachable as error:
        _tell(ctx, error.code, str(error), error.hint)
        raise click.exceptions.Exit(ExitCode.NOT_REACHED) from error
    except BadAnswer as error:
        _tell(ctx, error.code, str(error), error.hint)
        raise click.exceptions.Exit(ExitCode.FAILURE) from error
    except StartupError as error:
        _tell(ctx, "startup_failed", str(error), None)
        raise click.exceptions.Exit(error.exit_code) from error
    except NotReached as error:
        _tell(ctx, error.code, str(error), error.hint)
        raise click.exceptions.Exit(TIMED_OUT) from error
    except KeyboardInterrupt as error:
        if sys.stderr.isatty():
            click.echo(err=True)  # the prompt of the shell on a line of its own, after ^C
        raise click.exceptions.Exit(INTERRUPTED) from error


def _tell(
    ctx: click.Context, code: str, message: str, hint: str | None, details: Mapping[str, object] | None = None
) -> None:
    if ctx.meta.get(_JSON):
        body = {"code": code, "message": message, "hint": hint, "details": dict(details or {})}
        click.echo(json.dumps({"error": body}), err=True)
        return
    note(f"meshd: {message}")
    if hint:
        note(f"hint: {hint}")


def note(text: str) -> None:
    """One line for the person, on stderr."""
    click.echo(clean(text), err=True)
