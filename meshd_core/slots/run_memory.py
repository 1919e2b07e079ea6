"""What of an agent's run outlives the daemon: by what it was started, on disk, and the token that it holds."""

from collections.abc import Mapping
from pathlib import Path

from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.config.model import SlotSection
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.run_record import ENV_DIGEST, RECORD_NAME, RunFile, RunRecord, Then, env_digest

_TOKEN_DIGEST = "meshd.token"  # noqa: S105 - a key of a run's meta


class RunMemory:
    """Of the present run of one slot."""

    def __init__(self, slot: str, folder: Path, agents: AgentTokens) -> None:
        self._slot, self._agents = slot, agents
        self._file = RunFile(folder / RECORD_NAME)
        self.judged_to = 0
        """Raw offset of the journal up to which other filters than now have judged."""

    def about_to_start(self, section: SlotSection) -> None:
        self.judged_to = 0
        self._file.note_start(section)

    def began(self, run: str) -> None:
        """The run that was about to start lives."""
        self._file.note_begin(run)

    def extras(self, section: SlotSection) -> tuple[dict[str, str], dict[str, str]]:
        """What the run that is about to start gets beside its launch: variables, and meta for the next daemon."""
        meta = {ENV_DIGEST: env_digest(section)}
        if section.api == "none":
            return {}, meta
        env, digest = self._agents.make(self._slot, section.api)
        return env, {**meta, _TOKEN_DIGEST: digest}

    def take_over(self, child: ChildInfo, section: SlotSection) -> RunRecord:
        """A run of an earlier daemon goes on here; its record."""
        record = self._file.read() or self._file.assume(section, child.run)
        if record.run != child.run:
            # The earlier daemon died between its start and the note of it, or the record doesn't tell its run.
            self._file.note_begin(child.run)
            record = self._file.record or record
        self.judged_to = record.judged_to
        if section.api != "none" and (digest := child.meta.get(_TOKEN_DIGEST)) is not None:
            self._agents.take_up(self._slot, digest, section.api)
        return record

    def last_run(self, section: SlotSection) -> RunRecord | None:
        """The record of the slot's last run, if an agent of the same kind ran."""
        record = self._file.read()
        return record if record is not None and record.section.kind == section.kind else None

    def changed(self, section: SlotSection, alive: bool) -> None:
        """The slot lives by `section` from now on."""
        self._agents.allow(self._slot, None if section.api == "none" else section.api)
        if alive:
            self._file.note_change(section, self.judged_to)

    def version_known(self, version: str) -> None:
        """The agent told its version: the next daemon reads old output as this one did."""
        self._file.note_version(version)

    def resumable(self, meta: Mapping[str, str]) -> None:
        """What a later start needs to go on with the run's conversation, by what is known now."""
        self._file.note_resume(meta)

    @property
    def found_out(self) -> Mapping[str, str]:
        """What `resumable` was told of the present run, by an earlier daemon as well."""
        return {} if self._file.record is None else self._file.record.resume

    def stopping(self, run: str | None, then: Then = None) -> None:
        """`run` is about to be stopped, for good or as half of a restart; None: it has ended."""
        self._file.note_stop(run, then)

    def retired(self) -> None:
        """The slot is out of the configuration: nothing allows its agent anything any more."""
        self._agents.allow(self._slot, None)

    def ended(self) -> None:
        """The agent has ended."""
        self._agents.end(self._slot)
