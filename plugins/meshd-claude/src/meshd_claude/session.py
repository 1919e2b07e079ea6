"""Claude Code's own channels during one run: its status file and its session log.

`$CLAUDE_CONFIG_DIR/sessions/<pid>.json` holds `{pid, sessionId, version, startedAt, status, statusUpdatedAt,
waitingFor}` and is rewritten in place at each change (a parse error means: look again). It is stale after kill -9.
Measured with 2.1.330; it does not exist before the trust dialog is answered.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from meshd_claude.conversation import conversation
from meshd_claude.log import ToolCall, find_answer, find_log, pending_call
from meshd_core.api import (
    REPLY_POLL_S,
    AgentSession,
    Answer,
    Conversation,
    Observation,
    Pace,
    Turn,
    wait_for_reply,
)

SESSION_ID = "session_id"
"""Key in `Launch.meta`."""
CALL_POLLS = 10
"""How often the log is read, REPLY_POLL_S apart, before it is told that the agent waits, without what for."""
LATE_POLL_S = 0.5
MENU = "dialog open"
"""What it waits for in a menu that a command opened; in a question of the model's it is `input needed`."""
START_SLACK_MS = 10_000


class Status(
    Struct,
    frozen=True,
    rename={
        "session_id": "sessionId", "started_at": "startedAt", "updated_at": "statusUpdatedAt",
        "waiting_for": "waitingFor",
    },
):  # fmt: skip
    """The status file."""

    session_id: str | None = None
    version: str | None = None
    started_at: float | None = None
    status: str | None = None
    updated_at: float | None = None
    waiting_for: str | None = None


class ClaudeSession(AgentSession):
    """One run; `session_id` is what it was launched with, replaced by what the status file says (after /clear)."""

    def __init__(self, pid: int, started_at_ms: int, config_dir: Path, session_id: str | None) -> None:
        self._path = config_dir / "sessions" / f"{pid}.json"
        self._started_at_ms = started_at_ms
        self._config_dir = config_dir
        self._session_id = session_id
        self._version: str | None = None
        self._pace = Pace()

    def version(self) -> str | None:
        return self._version

    def resume_meta(self) -> Mapping[str, str]:
        """The conversation that was last in use: /clear begins another one."""
        return {} if self._session_id is None else {SESSION_ID: self._session_id}

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Report each change of the status file until cancelled."""
        seen_at = 0
        while True:
            changed_at = self._changed_at()
            if changed_at != seen_at:
                status = await asyncio.to_thread(self._read)
                if status is not None:
                    seen_at = changed_at
                    await self._report(report, status, changed_at)
            await self._pace.wait()

    def terminal_moved(self) -> None:
        self._pace.moved()

    async def finished(self, turn: Turn) -> bool:
        """Whether the log holds the prompt and its end. A turn of some 100 ms may change no signal and no status."""
        answer = await asyncio.to_thread(self._find_answer, turn, True)
        return answer is not None and answer.ended

    async def reply(self, turn: Turn) -> str | None:
        """The assistant's text of the whole turn, from the log; None if the log doesn't show it in time."""
        return await wait_for_reply(lambda: asyncio.to_thread(self._find_answer, turn))

    async def failure(self, turn: Turn) -> str | None:
        """The error that ended the turn, as the log has it."""
        answer = await asyncio.to_thread(self._find_answer, turn)
        return None if answer is None else answer.error

    async def messages(self) -> Conversation:
        """The conversation that it is in now: /clear begins another one."""
        return await asyncio.to_thread(lambda: conversation(self._log()))

    # -- the status file

    def _changed_at(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return 0

    def _read(self) -> Status | None:
        try:
            status = msgspec.json.decode(self._path.read_bytes(), type=Status)
        except (OSError, msgspec.MsgspecError):
            return None
        if status.started_at is not None and status.started_at < self._started_at_ms - START_SLACK_MS:
            return None  # left behind by a process that had the same pid
        return status

    async def _report(self, report: Callable[[Observation], None], status: Status, changed_at: int) -> None:
        self._version = status.version or self._version
        self._session_id = status.session_id or self._session_id
        if status.status in ("idle", "busy"):
            report(_observation(status.status, f"status={status.status}"))
        elif status.status == "waiting":
            await self._report_waiting(report, status, changed_at)

    async def _report_waiting(self, report: Callable[[Observation], None], status: Status, changed_at: int) -> None:
        """Say that it waits, and what for: the log has the call a moment later, on a busy machine seconds later."""
        waiting_for = status.waiting_for or ""
        permission = "permission" in waiting_for
        tries = 0
        while True:
            call = await asyncio.to_thread(self._pending_call) if permission else None
            tries += 1
            if call is not None or tries == CALL_POLLS or not permission:
                report(_waiting(waiting_for, permission, call))
            if call is not None or not permission or self._changed_at() != changed_at:
                return
            await asyncio.sleep(REPLY_POLL_S if tries < CALL_POLLS else LATE_POLL_S)

    # -- the session log, read in threads

    def _find_answer(self, turn: Turn, exact: bool = False) -> Answer | None:
        log = self._log()
        try:
            return None if log is None else find_answer(log, turn.prompt, turn.entered_at_ms, exact=exact)
        except OSError:
            return None

    def _pending_call(self) -> ToolCall | None:
        log = self._log()
        try:
            return None if log is None else pending_call(log)
        except OSError:
            return None

    def _log(self) -> Path | None:
        return None if self._session_id is None else find_log(self._config_dir, self._session_id)


def _observation(state: Any, matched: str, **more: Any) -> Observation:
    return Observation(
        source="api", rule="claude-status-file", state=state, matched=matched, confidence=0.95, **more
    )  # fmt: skip


def _waiting(waiting_for: str, permission: bool, call: ToolCall | None) -> Observation:
    if waiting_for == MENU:
        return _observation("waiting", f"status=waiting waitingFor={waiting_for}", dialog_kind="menu")
    return _observation(
        "waiting", f"status=waiting waitingFor={waiting_for}", dialog_kind="approval" if permission else "question",
        question=f"Allow {call.name}?" if call is not None else waiting_for or None,
        command=call.command if call is not None else None, dialog_key=call.id if call is not None else None,
    )  # fmt: skip
