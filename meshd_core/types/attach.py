"""What goes over `/attach/{slot}` beside the terminal's bytes: JSON in text frames, told apart by `type`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from meshd_core.types.slot import ExitStatus
from meshd_core.types.words import Status

AttachMode = Literal["control", "view"]


class AttachResize(Struct, frozen=True, tag_field="type", tag="resize"):
    """To the daemon: give the agent's terminal this size. From it: somebody did; a repainted screen follows."""

    rows: Annotated[int, Meta(ge=2, le=500)]
    cols: Annotated[int, Meta(ge=10, le=1000)]


class Attached(Struct, frozen=True, tag_field="type", tag="attached"):
    """The first message: what one is attached to, and the size of its terminal. The painted screen follows."""

    slot: str
    node: str
    mode: AttachMode
    rows: int
    cols: int
    pid: int | None


class AttachGap(Struct, frozen=True, tag_field="type", tag="gap"):
    """This reader was too slow: so many bytes are left out, and a repainted screen follows."""

    lost_bytes: int


class AttachExit(Struct, frozen=True, tag_field="type", tag="exit"):
    """The agent ended, after everything that was sent before. `status` says what the slot does now."""

    exit: ExitStatus
    pid: int | None
    status: Status


class AttachStarted(Struct, frozen=True, tag_field="type", tag="started"):
    """A new run of the agent began; a repainted screen follows."""

    pid: int | None


class AttachError(Struct, frozen=True, tag_field="type", tag="error"):
    """Something that was sent could not be done; the connection goes on."""

    code: str
    message: str
    hint: str | None = None


AttachRequest = AttachResize
"""Everything that a client may send in a text frame."""
AttachMessage = Attached | AttachResize | AttachGap | AttachExit | AttachStarted | AttachError
"""Everything that the daemon sends in text frames. A client ignores types that it doesn't know."""
