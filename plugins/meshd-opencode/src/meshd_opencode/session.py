"""OpenCode's own channels during one run: its event stream, and its messages over HTTP.

`GET /event` hangs if it is opened before the server is up, which `GET /session/status` tells; a session's status stays
`busy` while it asks for a permission. Measured with 1.18.33: a heartbeat comes every 10 s.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from meshd_core.api import AgentSession, Answer, Conversation, Observation, Turn, wait_for_reply
from meshd_opencode.api_types import (
    Asked,
    Event,
    Health,
    MessageUpdated,
    Replied,
    SessionRef,
    SessionStatus,
    StatusChanged,
    StoredMessage,
    StoredSession,
)
from meshd_opencode.conversation import conversation
from meshd_opencode.http_client import Address, ApiError, get_body, post, request
from meshd_opencode.state import AgentState
from meshd_opencode.turns import find_answer

CONVERSATION = "conversation"
"""Key in `LaunchSpec.last_meta`."""
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 1.0
"""It is up some seconds after its screen, which shows a question without its words."""
SILENCE_S = 45.0
MESSAGES = 100
"""How many of a session's newest messages are searched for a turn: each step of a turn is a message."""
SHOWN_MESSAGES = 300
"""How many of a session's newest messages a conversation is made of."""
SESSIONS = 5
T = TypeVar("T")


class OpenCodeSession(AgentSession):
    """One run. The conversation is known by its events, or after an adoption found by the prompt in it."""

    def __init__(
        self, address: Address, adopted: bool = False, started_at_ms: int = 0, resumed: str | None = None,
        version: str | None = None,
    ) -> None:  # fmt: skip
        """`adopted`: it runs for a while, so that an idle server is an idle agent, whatever the daemon before saw.
        `resumed`: the conversation that was, or that it was in last. `version`: if it is known before the API tells it.
        """
        self._address, self._started_at_ms, self._resumed = address, started_at_ms, resumed
        self._state = AgentState(worked=adopted)
        self._conversation: str | None = None
        self._version = version
        self._retry_s = FIRST_RETRY_S

    def version(self) -> str | None:
        return self._version

    def resume_meta(self) -> Mapping[str, str]:
        """The conversation that was last in use, in this run or the one that it resumed."""
        conversation = self._conversation or self._resumed
        return {} if conversation is None else {CONVERSATION: conversation}

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Report each change until cancelled; reconnect for as long as the agent runs."""
        while True:
            with contextlib.suppress(ApiError):  # not up yet, or a hiccup; the screen's rules hold meanwhile
                await self._follow(report)
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)

    async def finished(self, turn: Turn) -> bool:
        """Whether the conversation holds the prompt and its end."""
        try:
            answer = await self._find_answer(turn, exact=True)
        except ApiError:
            return False
        return answer is not None and answer.ended

    async def reply(self, turn: Turn) -> str | None:
        """The assistant's text of the whole turn, or None if the API doesn't tell it in time."""
        return await wait_for_reply(lambda: self._present_answer(turn))

    async def failure(self, turn: Turn) -> str | None:
        """The error that ended the turn, as the API has it."""
        answer = await self._present_answer(turn)
        return None if answer is None else answer.error

    async def answer(self, dialog_key: str, choice: str) -> bool:
        """Answer the permission `dialog_key`, whatever option the terminal has marked. False: not open, or unheard."""
        reply = {"accept": "once", "always": "always", "deny": "reject"}.get(choice)
        if reply is None or not self._state.is_permission(dialog_key):
            return False
        try:
            body = msgspec.json.encode({"reply": reply})
            return await post(self._address, f"/permission/{quote(dialog_key, safe='')}/reply", body)
        except ApiError:
            return False

    async def messages(self) -> Conversation:
        """The conversation that was last in use in this run, or that was resumed; none before the first prompt."""
        session = self._conversation or self._resumed or await self._used_since_start()
        if session is None:
            return Conversation(source="api")
        path = f"/session/{session}/message?limit={SHOWN_MESSAGES}"
        return await asyncio.to_thread(_conversation, await get_body(self._address, path))

    async def _used_since_start(self) -> str | None:
        """After an adoption, before the next prompt: the conversation that was used last, if that was in this run."""
        sessions = _decode(await get_body(self._address, "/session"), list[StoredSession])
        used = [one for one in sessions if one.parent is None and one.time.updated >= self._started_at_ms]
        return max(used, key=lambda one: one.time.updated).id if used else None

    # -- events

    async def _follow(self, report: Callable[[Observation], None]) -> None:
        await get_body(self._address, "/session/status")
        async with request(self._address, "/event") as response:
            if response.status != 200:
                raise ApiError(f"status {response.status}")
            stream = response.events(SILENCE_S)
            await anext(stream, b"")  # server.connected: from here on nothing is missed
            await self._snapshot()
            self._retry_s = FIRST_RETRY_S
            self._tell(report)
            async for data in stream:
                if self._take(data):
                    self._tell(report)

    async def _snapshot(self) -> None:
        statuses = _decode(await get_body(self._address, "/session/status"), dict[str, SessionStatus])
        asked = _decode(await get_body(self._address, "/permission"), list[Asked])
        self._state.restore(statuses, asked)
        if self._version is None:
            self._version = _decode(await get_body(self._address, "/global/health"), Health).version

    def _tell(self, report: Callable[[Observation], None]) -> None:
        observation = self._state.observation()
        if observation is not None:
            report(observation)

    def _take(self, data: bytes) -> bool:
        """Whether the event changed the agent's state."""
        try:
            event = msgspec.json.decode(data, type=Event)
            return self._apply(event)
        except msgspec.MsgspecError:
            return False  # an event whose shape we don't know

    def _apply(self, event: Event) -> bool:
        match event.type:
            case "session.status":
                changed = msgspec.json.decode(event.properties, type=StatusChanged)
                return self._state.status(changed.session, changed.status)
            case "session.idle":
                ended = msgspec.json.decode(event.properties, type=SessionRef)
                return self._state.status(ended.session, SessionStatus("idle"))
            case "permission.asked" | "question.asked":
                return self._state.asked(msgspec.json.decode(event.properties, type=Asked))
            case "permission.replied" | "question.replied" | "question.rejected":
                return self._state.answered(msgspec.json.decode(event.properties, type=Replied).request)
            case "message.updated":
                info = msgspec.json.decode(event.properties, type=MessageUpdated).info
                if info.role == "user" and info.session:
                    self._conversation = info.session
        return False

    # -- messages

    async def _find_answer(self, turn: Turn, *, exact: bool = False) -> Answer | None:
        for session in await self._conversations():
            path = f"/session/{session}/message?limit={MESSAGES}"
            body = await get_body(self._address, path)
            answer = await asyncio.to_thread(_answer, body, turn, exact)
            if answer is not None:
                return answer
        return None

    async def _present_answer(self, turn: Turn) -> Answer | None:
        """What the API tells now; an API that can't be asked tells nothing."""
        try:
            return await self._find_answer(turn)
        except ApiError:
            return None

    async def _conversations(self) -> list[str]:
        if self._conversation is not None:
            return [self._conversation]
        sessions = _decode(await get_body(self._address, "/session"), list[StoredSession])
        return [session.id for session in sessions[:SESSIONS]]


def _conversation(body: bytes) -> Conversation:
    stored = _stored(body)
    full = len(stored) >= SHOWN_MESSAGES
    warning = f"only the newest {SHOWN_MESSAGES} of its messages were asked for" if full else None
    return Conversation(conversation(stored), "api", warning)


def _answer(body: bytes, turn: Turn, exact: bool) -> Answer | None:
    return find_answer(_stored(body), turn.prompt, turn.entered_at_ms, exact=exact)


def _stored(body: bytes) -> list[StoredMessage]:
    """The messages of a body of megabytes; for a thread. Raises ApiError.

    One at a time: the decoder keeps the interpreter to itself, and in one go it would stop the event loop as well.
    """
    return [_decode(one, StoredMessage) for one in _decode(body, list[msgspec.Raw])]


def _decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiError("an answer of an unknown shape") from error
