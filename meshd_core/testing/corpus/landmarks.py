"""Moments of a recording that bound what the backend can't see: keys of the script, and texts of its own table.

The script marks what it does in the cast, and `scripts` says what to look for on the screen: none of it is of a kind.
"""

from collections.abc import Sequence

from msgspec import Struct

from meshd_core.testing.corpus.cast import Cast
from meshd_core.testing.corpus.on_screen import Look, begins, compact
from meshd_core.testing.corpus.scripts import SCRIPTS, Script

_LEAVING = ("exit", "kill")


class Landmarks(Struct, frozen=True):
    """Seconds, each in order. `asked`: a trust, login or first-run screen was drawn; `passed`: none of them was there
    any more; `box`: the input box was drawn, without one; `stopped`: the agent had written that it was interrupted; the
    others are keys.
    """

    asked: tuple[float, ...] = ()
    passed: tuple[float, ...] = ()
    box: tuple[float, ...] = ()
    stopped: tuple[float, ...] = ()
    interrupts: tuple[float, ...] = ()
    leaves: tuple[float, ...] = ()

    def passed_for_good(self, low: float, high: float) -> float:
        """When from `low` on nothing asked any more; `high`, if something still did then."""
        passed = max((at for at in self.passed if low <= at <= high), default=high)
        return high if any(passed < at <= high for at in self.asked) else passed


def landmarks(cast: Cast, cli: str, looks: Sequence[Look]) -> Landmarks:
    """Those of `cast`; of a CLI that has no script here the keys alone."""
    marks = [event for event in cast.events if event.code == "m"]
    interrupts = tuple(mark.at for mark in marks if mark.data == "interrupt")
    leaves = tuple(mark.at for mark in marks if mark.data in _LEAVING)
    script = SCRIPTS.get(cli)
    if script is None:
        return Landmarks(interrupts=interrupts, leaves=leaves)
    steps = _steps(script)
    box = [compact(text) for text in ([script.box] if script.box else script.ready)]
    stopped = [compact(text) for text in script.interrupted]

    def asks(screen: str) -> bool:
        return any(step in screen for step in steps)

    return Landmarks(
        asked=begins(looks, asks),
        passed=begins(looks, lambda screen: not asks(screen)),
        box=begins(looks, lambda screen: all(text in screen for text in box) and not asks(screen)),
        stopped=begins(looks, lambda screen: any(text in screen for text in stopped)),
        interrupts=interrupts,
        leaves=leaves,
    )


def _steps(script: Script) -> list[str]:
    given = (script.trust, script.login, *(script.first_run or ()))
    return [compact(step.text) for step in given if step is not None]


def first(times: Sequence[float], low: float, high: float) -> float | None:
    """The first of `times` from `low` to `high`."""
    return next((at for at in times if low <= at <= high), None)
