"""Secrets by reference: read where they lie, when they are needed, and never shown."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from meshd_core.contracts.secrets import SecretRef

MAX_SECRET_BYTES = 64 * 1024


class SecretError(ValueError):
    """A secret that can't be had: the message says why and never holds any of it."""


class SecretText(str):
    """A secret's value. It is plain text to whoever uses it, but a repr (of it or of what holds it) hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


def resolve(ref: SecretRef, base: Path, environ: Mapping[str, str] | None = None) -> str:
    """The secret that `ref` names, white space at its ends removed; a relative file is relative to `base`.

    Raises SecretError: nothing or both named, the variable unset or empty, the file missing, unreadable or empty.
    """
    if (ref.env is None) == (ref.file is None):
        raise SecretError("names both 'env' and 'file'" if ref.env is not None else "names neither 'env' nor 'file'")
    if ref.env is not None:
        value = (os.environ if environ is None else environ).get(ref.env)
        # What is no name of a variable may be the secret itself, put in the wrong place.
        name = repr(ref.env) if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", ref.env) else "that 'env' names"
        if value is None:
            raise SecretError(f"the environment variable {name} is not set")
        if not value.strip():
            raise SecretError(f"the environment variable {name} is empty")
        return SecretText(value.strip())
    assert ref.file is not None
    return SecretText(_read(secret_path(ref.file, base)))


def secret_path(file: str, base: Path) -> Path:
    """Where the file of a reference lies. Raises SecretError for a text that is no path."""
    if not file or "\0" in file:
        raise SecretError("'file' is not a path")
    try:
        return base / Path(file).expanduser()
    except RuntimeError:
        raise SecretError("'file' starts with the home folder of a user who does not exist") from None


def exposure(ref: SecretRef, base: Path) -> str | None:
    """A warning if others may read the file of `ref`, else None."""
    if not ref.file or ref.env is not None:
        return None
    path = secret_path(ref.file, base)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None  # `resolve` reports it
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"the secret file {path} can be read by others; run 'chmod 600 {path}'"
    return None


def _read(path: Path) -> str:
    try:
        # O_NONBLOCK: a FIFO without a writer must not stop the start.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretError(f"the secret file {path} can't be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SecretError(f"the secret file {path} is not a regular file")
    with os.fdopen(fd, "rb") as file:
        try:
            raw = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretError(f"the secret file {path} can't be read: {error.strerror}") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise SecretError(f"the secret file {path} has more than {MAX_SECRET_BYTES} bytes")
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise SecretError(f"the secret file {path} is not UTF-8 text") from None
    if not text:
        raise SecretError(f"the secret file {path} is empty")
    return text
