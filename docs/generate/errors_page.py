"""docs/errors.md: every error of the wire, the commands' own, and the exit codes, from their classes."""

import inspect
from collections.abc import Iterator

from docs.generate.markdown import document, paragraph, table
from meshd_core import errors
from meshd_core.config.described import below_assignments
from meshd_core.errors import MeshdError
from meshd_core.exit_codes import ExitCode
from meshd_core.plugins.host import PluginHost

_INTRO = """
An answer with a status of 400 or more has this body; `code` is stable, `message` and `hint` are for people, `details`
holds the facts:

```json
{"error": {"code": "slot_not_found", "message": "there is no slot 'demmo' here", "hint": "did you mean 'demo'?",
           "details": {"slot": "demmo"}}}
```

Every answer names itself in `Meshd-Request-Id`; the daemon's log and the audit log name the same id. The Python client
raises the class of the code, from `meshd_core.errors`.
"""
_EXITS = """
`meshd serve` and `meshd demo` print one clear message and exit with the code of the cause. Client commands use 0, 1, 2,
69, 124 (what was waited for did not come in time) and 130 (Ctrl-C).
"""


def page(_: PluginHost) -> str:
    """The page."""
    return document(["# Errors", *_INTRO.strip().split("\n\n"), "## On the wire", *_wire(), "## Exit codes",
                     _EXITS.strip(), *_exit_codes()])  # fmt: skip


def classes() -> list[type[MeshdError]]:
    """Every error that has a code of its own, by status."""
    found = (item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, MeshdError))
    return sorted((item for item in found if item is not MeshdError), key=lambda item: (item.status, item.code))


def _wire() -> Iterator[str]:
    rows = [(f"`{error.code}`", str(error.status), *_told(error)) for error in classes()]
    yield table(("code", "status", "when", "way out"), rows)


def _told(error: type[MeshdError]) -> tuple[str, str]:
    """When it comes, and the way out: the two paragraphs of its docstring."""
    when, _, way_out = inspect.cleandoc(error.__doc__ or "").partition("\n\n")
    return " ".join(when.split()), " ".join(way_out.removeprefix("Way out:").split())


def _exit_codes() -> Iterator[str]:
    meanings = below_assignments(ExitCode)
    rows = [
        (str(value), f"`{name}`", meanings.get(name, ""))
        for name, value in sorted(vars(ExitCode).items(), key=lambda item: str(item[1]).zfill(4))
        if name.isupper()
    ]
    yield table(("code", "name", "meaning"), rows)
    yield paragraph("Numbers above 2 follow `sysexits.h` where it has one that fits.")
