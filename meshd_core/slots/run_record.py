"""What a slot's agent was started with, on disk: the daemon after a crash takes the agent up with that, not with what
the configuration says by then, and carries a stop through that its forerunner died in.
"""

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meshd_core.config.model import SlotSection

Then = Literal["start", "resume"] | None
"""What follows a stop: nothing, a start, or one that goes on with the conversation."""

log = logging.getLogger(__name__)

RECORD_NAME = "run.json"
EARLIER_RUNS = 8
"""So many are remembered: more than may follow each other unasked before the slot is `failed`."""
ENV_DIGEST = "meshd.env"
"""Key in a run's meta, so in the keeper's memory: the values of `env` may be secrets and never go to disk."""


class RunRecord(Struct, frozen=True):
    """`section` without the values of `env`."""

    section: SlotSection
    judged_to: int = 0
    """Raw offset of the journal up to which other filters than the section's have judged."""
    ending: str | None = None
    """The run that was being stopped."""
    then: Then = None
    agent_version: str | None = None
    run: str | None = None
    """The run that `resume` is of."""
    resume: dict[str, str] = {}
    """What the agent's session says that a resume needs."""
    earlier: tuple[dict[str, str], ...] = ()
    """Likewise of the runs before it, the newest first: the last one may never have been used."""


class RunFile:
    """The record of one slot, 0600 and replaced as a whole. It outlives the process; loss of power is not covered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.record: RunRecord | None = None
        """As it was read or written last."""

    def read(self) -> RunRecord | None:
        """None: there is none, or none that this version can read."""
        try:
            self.record = msgspec.json.decode(self._path.read_bytes(), type=RunRecord)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self.record = None
        return self.record

    def assume(self, section: SlotSection, run: str) -> RunRecord:
        """There was nothing to read of `run`, which lives by `section`: the first note of it writes its record."""
        self.record = RunRecord(section=_shown(section), run=run)
        return self.record

    def note_start(self, section: SlotSection) -> None:
        """A run is about to be started with `section`. If it never begins, a resume goes on with the one before."""
        before = self.record or self.read()
        record = RunRecord(section=_shown(section))
        if before is not None and before.section.kind == section.kind:
            record = replace(record, run=before.run, resume=before.resume, earlier=before.earlier)
        self._write(record)

    def note_begin(self, run: str) -> None:
        """It has begun as `run`: the conversation before is no longer its own."""
        if (record := self.record) is None:
            return
        earlier = record.earlier
        if record.resume and earlier[:1] != (record.resume,):
            earlier = (record.resume, *earlier)[:EARLIER_RUNS]
        self._write(replace(record, run=run, resume={}, earlier=earlier))

    def note_change(self, section: SlotSection, judged_to: int) -> None:
        """The run that lives has `section` from now on."""
        before = self.record or RunRecord(section=section)
        self._write(replace(before, section=_shown(section), judged_to=judged_to))

    def note_version(self, version: str) -> None:
        """The run that lives is of this version of its agent."""
        if self.record is not None:
            self._write(replace(self.record, agent_version=version))

    def note_resume(self, meta: Mapping[str, str]) -> None:
        """What a start needs that goes on with the conversation of the run that lives."""
        if self.record is not None:
            self._write(replace(self.record, resume=dict(meta)))

    def note_stop(self, run: str | None, then: Then) -> None:
        """`run` is about to be stopped; None: it has ended."""
        if self.record is not None:
            self._write(replace(self.record, ending=run, then=then))

    def _write(self, record: RunRecord) -> None:
        if record == self.record:
            return
        self.record = record
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(record))
            temporary.replace(self._path)
        except OSError as error:
            # The agent matters more: after a crash it would be taken for one that the file describes.
            log.warning("run not recorded", extra={"file": str(self._path), "reason": error.strerror})


def _shown(section: SlotSection) -> SlotSection:
    return replace(section, env=dict.fromkeys(section.env, ""))


def env_digest(section: SlotSection) -> str:
    """Tells two environments of slots apart without telling what is in them."""
    return hashlib.sha256(msgspec.json.encode(sorted(section.env.items()))).hexdigest()
