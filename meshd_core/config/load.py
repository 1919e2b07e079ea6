"""Reading `meshd.toml`: syntax, types and rules, with everything that is wrong at once.

Two phases: `read_config` judges the file by itself; `check.check_against` judges it by what is installed and raises
the problems of both. A file that can't be read or is not TOML ends the first phase at once.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.config.decode import Document, Walk
from meshd_core.config.lines import index_lines
from meshd_core.config.model import Config
from meshd_core.config.problems import ConfigErrors, ConfigProblem, in_file_order
from meshd_core.config.rules import problems_of, warnings_of

MAX_CONFIG_BYTES = 1024 * 1024
_POSITION = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


class LoadedConfig(Struct, frozen=True):
    """A configuration after phase one."""

    config: Config
    """Complete if there are no `problems`. Otherwise the valid parts: failed values are defaults, or empty."""
    path: Path | None
    """The file; None: there is none and everything is default."""
    base: Path
    """The folder that relative paths start from."""
    document: Document
    problems: tuple[ConfigProblem, ...] = ()
    warnings: tuple[ConfigProblem, ...] = ()


def load_config(path: Path, *, explicit: bool = True, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """The configuration in `path`, judged by itself. Raises ConfigErrors with everything that is wrong."""
    loaded = read_config(path, explicit=explicit, environ=environ)
    if loaded.problems:
        raise ConfigErrors(loaded.problems)
    return loaded


def read_config(path: Path, *, explicit: bool = True, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Like `load_config`, but problems of types and rules are kept in the result for phase two.

    `explicit`: somebody named this file, so it must be there; a missing file at the default place means defaults.
    Raises ConfigErrors if the file can't be read, isn't UTF-8 or isn't TOML.
    """
    text = _read(path, explicit=explicit)
    if text is None:
        return LoadedConfig(Config(), None, path.absolute().parent, Document(path.name, {}))
    data = _parse(text, path.name)
    return judge(Document(path.name, data, index_lines(text)), path.absolute(), environ=environ)


def judge(document: Document, path: Path, *, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Types and rules of parsed TOML; never raises."""
    walk = Walk(document)
    config: Config = walk.value(Config, document.data, ())
    found = problems_of(config, document, path.parent, os.environ if environ is None else environ)
    problems = in_file_order([*walk.problems, *found])
    return LoadedConfig(
        config, path, path.parent, document, tuple(problems), tuple(warnings_of(config, document, path.parent))
    )


def _read(path: Path, *, explicit: bool) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if not explicit:
            return None
        raise _unreadable(path, "there is no such file") from None
    except OSError as error:
        raise _unreadable(path, f"can't be read: {error.strerror}") from None
    except ValueError:
        raise _unreadable(path, "is not a path") from None
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "is a folder", f"name the file in it, as {path / 'meshd.toml'}")
        raise _unreadable(path, "is not a regular file")
    with os.fdopen(fd, "rb") as file:
        try:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, f"can't be read: {error.strerror}") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise _unreadable(path, f"has more than {MAX_CONFIG_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigErrors([ConfigProblem(f"{path.name}:{line}", "is not UTF-8 text")]) from None


def _unreadable(path: Path, reason: str, hint: str | None = None) -> ConfigErrors:
    return ConfigErrors([ConfigProblem(str(path), reason, hint)])


def _parse(text: str, name: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigErrors([ConfigProblem(name, "is nested too deeply")]) from None
    except ValueError as error:  # TOMLDecodeError, and numbers of more than 4,300 digits
        found = _POSITION.match(str(error))
        reason = f"is not TOML: {found[1] if found else error}"
        if found and found[2]:
            place = f"{name}:{found[2]}:{found[3]}"
        else:
            place = f"{name}:{text.count(chr(10)) + 1}" if found else name
        raise ConfigErrors([ConfigProblem(place, reason)]) from None
