"""Lines, screens, and what events carry."""

from typing import Literal

from msgspec import Struct

from meshd_core.types.slot import Activity, Dialog, ExitStatus, Size
from meshd_core.types.words import Status


class Line(Struct, frozen=True):
    id: str
    n: int
    t: str
    text: str


class Gap(Struct, frozen=True):
    """Output that can't be given any more; `lost_lines` is null where their number isn't known."""

    lost_lines: int | None
    lost_bytes: int


class OutputPage(Struct, frozen=True):
    lines: list[Line]
    next: str
    gap: Gap | None = None


class Cursor(Struct, frozen=True):
    row: int
    col: int


class Screen(Struct, frozen=True):
    """What a person would see now: every row of the terminal, trailing spaces removed."""

    rows: list[str]
    cursor: Cursor
    title: str
    size: Size
    alternate: bool


class StateEvent(Struct, frozen=True):
    status: Status
    activity: Activity
    dialog: Dialog | None = None


class EndEvent(Struct, frozen=True):
    exit: ExitStatus
    pid: int | None = None


class DialogEvent(Struct, frozen=True):
    event: Literal["opened", "closed"]
    dialog: Dialog


class ByeEvent(Struct, frozen=True):
    reason: str


EVENT_TYPES = ("line", "state", "inject", "dialog", "gap", "end", "bye")
