"""The sink: one batch is one append, all of it or none of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from meshd_core.api import FleetEvent, FleetSink, SinkBusy, SinkConnection, SinkContext, SinkPaused
from meshd_jsonl.lines_file import Foreign, LinesFile, is_want_of_space


class JsonlOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of the section."""

    path: str = "events.jsonl"
    """Relative to the instance's folder in the state folder; `~` is the home folder."""
    max_bytes: Annotated[int, Meta(ge=65_536, le=1 << 40)] = 64 * 1024 * 1024
    """Before the file would grow larger it is renamed to `.1`, and that to `.2`, and so on."""
    keep: Annotated[int, Meta(ge=0, le=1000)] = 5
    """How many renamed files stay."""
    fsync: bool = False
    """Whether a batch counts as delivered only once it is on the disk: survives a loss of power."""

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path or self.path.endswith("/"):
            raise ValueError("path: must name a file")
        if self.path.startswith("~"):
            try:
                Path(self.path).expanduser()
            except RuntimeError:
                raise ValueError("path: starts with the home folder of a user who does not exist") from None


class JsonlSink(FleetSink):
    """A file on this machine."""

    name = "jsonl"

    def options_type(self) -> type[Struct]:
        return JsonlOptions

    def open(self, context: SinkContext) -> SinkConnection:
        return JsonlConnection(context)


class JsonlConnection(SinkConnection):
    """One file. It is written without leaving the thread: a sink has a thread of its own."""

    def __init__(self, context: SinkContext) -> None:
        options: JsonlOptions = context.options
        path = context.state_dir / Path(options.path).expanduser()
        self._file = LinesFile(path, options.max_bytes, options.keep, options.fsync)
        self._encoder = msgspec.json.Encoder()

    async def send(self, batch: Sequence[FleetEvent]) -> None:
        lines = b"".join(self._encoder.encode(event) + b"\n" for event in batch)
        try:
            self._file.append(lines)
        except Foreign as error:
            raise SinkPaused(str(error)) from None
        except OSError as error:
            reason = f"{self._file.path} can't be written: {error.strerror}"
            raise (SinkBusy if is_want_of_space(error) else SinkPaused)(reason) from None

    async def close(self) -> None:
        self._file.close()
