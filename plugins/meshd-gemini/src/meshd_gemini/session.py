"""Gemini CLI's own channel during one run: its session log. The state comes from the window title."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from meshd_core.api import AgentSession, Answer, Conversation, Turn, wait_for_reply
from meshd_gemini.chat import find_answer, find_chats, others_since
from meshd_gemini.conversation import conversation
from meshd_gemini.present_log import Entered, Entries, Present, present_log

SESSION_ID = "session_id"
"""Key in `Launch.meta`."""
_CLEARED = "another conversation was begun in this folder meanwhile; if /clear did it, it is not shown"


class GeminiSession(AgentSession):
    """One run; all is what is known from its launch."""

    def __init__(
        self, home: Path | None, session_id: str | None, version: str | None, started_at_ms: int = 0,
        goes_on_as: str | None = None,
    ) -> None:  # fmt: skip
        """`goes_on_as`: the conversation that it was in last, if it is known to be another one."""
        self._home, self._session_id, self._version = home, session_id, version
        self._started_at_ms = started_at_ms
        self._goes_on_as = goes_on_as or session_id
        self._entries = None if session_id is None else Entries(session_id, started_at_ms)
        self._found: tuple[tuple[Entered, ...], Present] | None = None

    def resume_meta(self) -> Mapping[str, str]:
        """The conversation that was last read: /clear begins another one, /resume takes one up."""
        return {} if self._goes_on_as is None else {SESSION_ID: self._goes_on_as}

    def version(self) -> str | None:
        return self._version

    async def finished(self, turn: Turn) -> bool:
        """Whether the log holds the prompt and an answer to it: a turn may be too short to change the title."""
        answer = await asyncio.to_thread(self._find_answer, turn, True)
        return answer is not None and answer.ended

    async def reply(self, turn: Turn) -> str | None:
        """The assistant's text of the whole turn, or the error that ended it; None if the log doesn't show it."""
        return await wait_for_reply(lambda: asyncio.to_thread(self._find_answer, turn))

    async def failure(self, turn: Turn) -> str | None:
        """The error that ended the turn, as the log has it."""
        answer = await asyncio.to_thread(self._find_answer, turn)
        return None if answer is None else answer.error

    async def messages(self) -> Conversation | None:
        """The conversation that it is in now, after a /clear or a /resume as well; None if it was launched in an
        unknown one.
        """
        return await asyncio.to_thread(self._conversation)

    def _conversation(self) -> Conversation | None:
        if self._home is None or self._session_id is None:
            return None
        chats = find_chats(self._home, self._session_id)
        if (present := self._present(chats)) is not None:
            return conversation(present)
        found = conversation(chats[0] if chats else None)
        for chat in chats[1:]:
            if not found.messages:
                found = conversation(chat)
        if chats and others_since(chats[0], self._session_id, self._started_at_ms):
            warning = _CLEARED if found.warning is None else f"{found.warning}; {_CLEARED}"
            return Conversation(found.messages, warning=warning)
        return found

    def _find_answer(self, turn: Turn, exact: bool = False) -> Answer | None:
        if self._home is None or self._session_id is None:
            return None
        chats = find_chats(self._home, self._session_id)
        present = self._present(chats)
        for chat in chats if present is None else [present, *chats]:
            try:
                answer = find_answer(chat, turn.prompt, turn.entered_at_ms, exact=exact)
            except OSError:
                continue
            if answer is not None:
                return answer
        return None

    def _present(self, chats: list[Path]) -> Path | None:
        """The log that it writes since a /clear or a /resume; None if there was none, or it can't be told."""
        if not chats or self._entries is None:
            return None
        folder = chats[0].parent
        entries = self._entries.read(folder)
        if self._found is not None and self._found[0] is entries:
            return self._found[1].path
        found = present_log(folder, entries)
        if found is None:
            return None
        if found.used:  # an empty conversation can't be resumed, and one that is used stays the one
            self._goes_on_as, self._found = found.session_id, (entries, found)
        return found.path
