"""Codex's own channel during one run: its session log, found by the files that the process holds open.

The state comes from terminal signals; no record says that Codex waits for an approval. The log tells the exact command
that runs or is asked for, the reply, and the thread that a resume needs. After /clear the process holds the old log
and the new one: the newest counts (thread ids are UUIDv7, ordered by time). Only where there is a /proc.
"""

import asyncio
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from meshd_codex.conversation import conversation
from meshd_codex.rollout import Work, decoder, find_answer, find_rollout, read_head, turn_began
from meshd_core.api import (
    AgentSession,
    Answer,
    Conversation,
    Follower,
    Observation,
    Pace,
    Turn,
    decode_lines,
    open_files,
    wait_for_reply,
)

THREAD = "thread"
SEARCH_EVERY = 10
"""Looks between two searches for a newer log, once there is one: a search reads the links of some 60 files."""
_ROLLOUT = re.compile(r"/rollout-[^/]*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl\Z")


class CodexSession(AgentSession):
    """One run; `thread`, `version` and `home` are what is known from its launch."""

    def __init__(
        self, pid: int, started_at_ms: int, thread: str | None, version: str | None, home: Path | None = None
    ) -> None:
        self._pid, self._started_at_ms = pid, started_at_ms
        self._thread, self._version = thread, version
        self._home = home
        self._log: Follower | None = None
        self._work = Work()
        self._pace = Pace()
        self._strangers: set[str] = set()
        self._lock = threading.Lock()
        """Held in the threads of `watch`, `finished`, `reply` and `messages` to search, and to read on in `_log`."""

    def version(self) -> str | None:
        return self._version

    def resume_meta(self) -> Mapping[str, str]:
        return {} if self._thread is None else {THREAD: self._thread}

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Report what the log says of the present turn, at each change, until cancelled."""
        told: Observation | None = None
        looks = 0
        while True:
            if looks % SEARCH_EVERY == 0 or (self._log is None and not self._pace.calm):
                await asyncio.to_thread(self._search)
            looks += 1
            log = self._log
            if log is not None and log.grown:
                await asyncio.to_thread(self._read_on)
            seen = self._observation()
            if seen is not None and seen != told:
                told = seen
                report(seen)
            await self._pace.wait()

    def terminal_moved(self) -> None:
        self._pace.moved()

    async def finished(self, turn: Turn) -> bool:
        """Whether the log holds the prompt and the end of its turn."""
        answer = await asyncio.to_thread(self._find_answer, turn, True)
        return answer is not None and answer.ended

    async def began(self, turn: Turn) -> bool | None:
        """Whether the log of the present conversation has a turn since then; one without a turn has no log. None where
        its files can't be seen or read.
        """
        return await asyncio.to_thread(self._turn_began, turn.entered_at_ms) if sys.platform == "linux" else None

    async def reply(self, turn: Turn) -> str | None:
        """The assistant's text of the whole turn, or the error that ended it; None if the log doesn't show it."""
        return await wait_for_reply(lambda: asyncio.to_thread(self._find_answer, turn))

    async def failure(self, turn: Turn) -> str | None:
        """The error that ended the turn, as the log has it."""
        answer = await asyncio.to_thread(self._find_answer, turn)
        return None if answer is None else answer.error

    async def messages(self) -> Conversation:
        """The conversation that it is in now: after /clear another one, from its first prompt on."""
        return await asyncio.to_thread(lambda: conversation(self._newest_log()))

    # -- in threads

    def _newest_log(self) -> Path | None:
        """The newest log that the process holds open; a resumed one is not before its first prompt."""
        with self._lock:
            for _, path in self._open_logs():
                head = read_head(path)
                if head is not None and head.is_users:
                    return path
            log = self._log
        if log is not None:
            return log.path
        return None if self._home is None or self._thread is None else find_rollout(self._home, self._thread)

    def _search(self) -> None:
        """Take up the newest log that the process holds open, if it is another one than before."""
        with self._lock:
            for thread, path in self._open_logs():
                if self._log is not None and self._log.path == path:
                    return
                if self._take_up(thread, path):
                    return

    def _open_logs(self) -> Iterator[tuple[str, Path]]:
        """Threads with their logs, the newest of the nearest process first."""
        for paths in open_files(self._pid):
            found = {match[1]: path for path in paths if (match := _ROLLOUT.search(path)) is not None}
            for thread in sorted(found.keys() - self._strangers, reverse=True):
                yield thread, Path(found[thread])

    def _take_up(self, thread: str, path: Path) -> bool:
        head = read_head(path)
        if head is None:
            return False
        if not head.is_users:
            self._strangers.add(thread)
            return False
        self._thread = thread
        self._version = self._version or head.payload.cli_version
        self._work = Work()
        self._log = Follower(path)
        return True

    def _read_on(self) -> None:
        with self._lock:
            if self._log is None:
                return
            try:
                lines = self._log.read()
            except OSError:
                self._log = None
                return
            # A run that was killed in a turn leaves it open in the log, where a resumed run finds it.
            records = decode_lines(lines, decoder)
            self._work.take(record for record in records if record.time_ms >= self._started_at_ms)

    def _observation(self) -> Observation | None:
        work = self._work
        if not work.seen:
            return None
        if work.turn is None:
            return Observation("api", "codex-log", "idle", "task over", 0.9)
        matched = f"task_started turn_id={work.turn}"
        call, command = work.call
        return Observation("api", "codex-log", "busy", matched, 0.9, command=command, dialog_key=call)

    def _turn_began(self, entered_at_ms: int) -> bool | None:
        self._search()
        log = self._log
        try:
            return turn_began(log.path, entered_at_ms) if log is not None else (False if self._is_seen() else None)
        except OSError:
            return None

    def _is_seen(self) -> bool:
        """Whether files of Codex's are seen open; of another user's process, or of one in a container, none are."""
        if self._home is None:
            return False
        home = os.path.realpath(self._home) + "/"
        return any(path.startswith(home) for paths in open_files(self._pid) for path in paths)

    def _find_answer(self, turn: Turn, exact: bool = False) -> Answer | None:
        if self._log is None:
            self._search()
        log = self._log
        if log is None:
            return None
        try:
            return find_answer(log.path, turn.prompt, turn.entered_at_ms, exact=exact)
        except OSError:
            return None
