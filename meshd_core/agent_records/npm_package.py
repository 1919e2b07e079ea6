"""The version of an agent that was installed from npm, known before it runs."""

import os
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct
from packaging.version import InvalidVersion, Version

_DEEPEST = 6


class _Manifest(Struct):
    name: str = ""
    version: str = ""


def is_older(version: str | None, release: str) -> bool:
    """Whether `version` is known, and before `release`."""
    try:
        return version is not None and Version(version) < Version(release)
    except InvalidVersion:
        return False


def npm_version(command: str, package: str, search_path: str | None) -> str | None:
    """The version in the package.json of npm's `package` that the program `command` belongs to; None if it is no
    part of such a package.

    `search_path` is the PATH that the agent will have.
    """
    found = shutil.which(command, path=search_path or os.defpath)
    if found is None:
        return None
    for folder in Path(os.path.realpath(found)).parents[:_DEEPEST]:
        try:
            manifest = msgspec.json.decode((folder / "package.json").read_bytes(), type=_Manifest)
        except (OSError, msgspec.MsgspecError):
            continue
        if manifest.name == package:
            return manifest.version or None
    return None
