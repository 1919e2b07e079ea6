"""What is wrong with a configuration: a place, a reason and, where there is one, the way out."""

import difflib
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from meshd_core.exit_codes import ExitCode, StartupError


class ConfigProblem(Struct, frozen=True):
    """One error or warning. None of the three texts ever holds a secret's value."""

    place: str
    """Where, as `meshd.toml:12: slots[1] (claude-1).kind`."""
    reason: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" ({self.hint})" if self.hint else "")


class ConfigErrors(StartupError):
    """Everything that is wrong with a configuration at once; the text has one problem a line. Exit code 78."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems), ExitCode.CONFIG)
        self.problems: tuple[ConfigProblem, ...] = tuple(problems)


def in_file_order(problems: Iterable[ConfigProblem]) -> list[ConfigProblem]:
    """Problems by their line; those without one come first."""

    def line(problem: ConfigProblem) -> int:
        found = re.match(r"[^:]*:(\d+)[: ]", problem.place)
        return int(found[1]) if found else 0

    return sorted(problems, key=line)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The spelling in `known` that `word` was probably meant to be, or None."""
    by_folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    # Names are at most 63 characters: difflib is quadratic, so a longer word is no near miss of anything.
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6) if len(word) <= 80 else []
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """A hint with the nearest spelling; else `otherwise`."""
    found = nearest(word, known)
    return f"did you mean {found!r}?" if found else otherwise


def shown(text: str, limit: int = 63) -> str:
    """`text` from a file as it may stand in a message: quoted, cut, without control characters."""
    return repr(text if len(text) <= limit else text[:limit] + "…")
