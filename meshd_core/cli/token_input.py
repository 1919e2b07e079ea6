"""A token from a file, from stdin, or typed by a person; never from the command line."""

import sys
from pathlib import Path

import click

_MOST_BYTES = 4096


def given_token(file: Path | None, from_stdin: bool, prompt: str) -> str:
    """The token. Raises click's errors for one that can't be had or can't be one."""
    if file is not None and from_stdin:
        raise click.UsageError("a token file and --token-stdin exclude each other.")
    if file is not None:
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise click.UsageError(f"the token file {file} can't be read: {error.strerror}.") from error
    elif from_stdin:
        raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
    elif sys.stdin.isatty():
        raw = click.prompt(prompt, hide_input=True, err=True).encode()
    else:
        raise click.UsageError("there is no terminal to ask for the token: give it with --token-stdin or in a file.")
    token = raw.strip()
    printable = all(0x20 < byte < 0x7F for byte in token)
    if not token or len(token) > _MOST_BYTES or not printable:
        raise click.UsageError("that is not a token: it is empty, or has characters that no token has.")
    return token.decode("ascii")
