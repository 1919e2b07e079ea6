"""Gemini CLI's own channel during one run: its session log. The state comes from the window title."""

import asyncio
from pathlib import Path

from meshd_core.api import AgentSession, Answer, Conversation, Turn, wait_for_reply
from meshd_gemini.chat import find_answer, find_chats, others_since
from meshd_gemini.conversation import conversation

_CLEARED = "another conversation was begun in this folder meanwhile; if /clear did it, it is not shown"


class GeminiSession(AgentSession):
    """One run; all is what is known from its launch."""

    def __init__(
        self, home: Path | None, session_id: str | None, version: str | None, started_at_ms: int = 0
    ) -> None:  # fmt: skip
        self._home, self._session_id, self._version = home, session_id, version
        self._started_at_ms = started_at_ms

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
        """The conversation that it was launched with; None if that is not known. What /clear begins has another id,
        which nothing tells.
        """
        return await asyncio.to_thread(self._conversation)

    def _conversation(self) -> Conversation | None:
        if self._home is None or self._session_id is None:
            return None
        chats = find_chats(self._home, self._session_id)
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
        for chat in find_chats(self._home, self._session_id):
            try:
                answer = find_answer(chat, turn.prompt, turn.entered_at_ms, exact=exact)
            except OSError:
                continue
            if answer is not None:
                return answer
        return None
