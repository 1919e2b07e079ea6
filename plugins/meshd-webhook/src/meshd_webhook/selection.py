"""Which events are sent: `type`, or `type.word` for those in which the word happened."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import get_args

from meshd_core.api import (
    ActivityState,
    DialogData,
    ExitData,
    FleetEvent,
    HeartbeatData,
    InjectData,
    NodeData,
    SlotData,
    Stage,
    Status,
)

WORDS: dict[str, frozenset[str]] = {
    "node": frozenset({"up", "reloaded", "down"}),
    "slot": frozenset({*get_args(Status), *get_args(ActivityState), "removed"}),
    "dialog": frozenset({"opened", "closed"}),
    "inject": frozenset(get_args(Stage)),
    "exit": frozenset({"ok", "failed", "unknown"}),
    "heartbeat": frozenset(),
}
"""By type: what may stand behind the dot."""


def check(selector: str) -> None:
    """Raises ValueError with the words that are possible."""
    kind, dot, word = selector.partition(".")
    if kind not in WORDS:
        raise ValueError(f"events: {selector!r}: the type must be one of {', '.join(WORDS)}")
    if dot and word not in WORDS[kind]:
        known = ", ".join(sorted(WORDS[kind])) or "none"
        raise ValueError(f"events: {selector!r}: after '{kind}.' may stand: {known}")


class Selection:
    """Chooses events. `slot.<word>` means the moment when a slot became so, so it remembers how each slot was."""

    def __init__(self, selectors: Sequence[str], slots: Sequence[str]) -> None:
        self._selectors, self._slots = frozenset(selectors), tuple(slots)
        self._states: dict[tuple[str, str], frozenset[str]] = {}

    def choose(self, batch: Sequence[FleetEvent]) -> "tuple[list[FleetEvent], Commit]":
        """What of `batch` is sent. Call the commit once it was: until then the same batch gives the same."""
        states = dict(self._states)
        chosen = [event for event in batch if self._wants(event, states)]
        return chosen, Commit(self, states)

    def keep(self, states: dict[tuple[str, str], frozenset[str]]) -> None:
        self._states = states

    def _wants(self, event: FleetEvent, states: dict[tuple[str, str], frozenset[str]]) -> bool:
        words = words_of(event)
        if isinstance(event.data, SlotData) and event.slot is not None:
            before = states.get((event.node, event.slot), frozenset())
            states[event.node, event.slot] = words
            words -= before
        if event.slot is not None and not any(fnmatchcase(event.slot, glob) for glob in self._slots):
            return False
        return event.type in self._selectors or any(f"{event.type}.{word}" in self._selectors for word in words)


class Commit:
    """Makes what was seen while choosing the past."""

    def __init__(self, selection: Selection, states: dict[tuple[str, str], frozenset[str]]) -> None:
        self._selection, self._states = selection, states

    def __call__(self) -> None:
        self._selection.keep(self._states)


def words_of(event: FleetEvent) -> frozenset[str]:
    """What happened in `event`, in the words of selectors."""
    match event.data:
        case NodeData(event=word) | DialogData(event=word):
            return frozenset({word})
        case SlotData(removed=True):
            return frozenset({"removed"})
        case SlotData(status=status, activity=activity):
            return frozenset({status, activity.state})
        case InjectData(stage=stage):
            return frozenset({stage})
        case ExitData(exit=end):
            return frozenset({"unknown" if not end.known else "ok" if end.code == 0 else "failed"})
        case HeartbeatData():
            return frozenset()
