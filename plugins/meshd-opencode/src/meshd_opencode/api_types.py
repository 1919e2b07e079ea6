"""The parts of OpenCode's HTTP API that are used; everything else of an answer is ignored. Measured with 1.18.33."""

from typing import Any

from msgspec import Raw, Struct, field


class Event(Struct):
    """One event of `GET /event`; `properties` are decoded by `type`."""

    type: str
    properties: Raw = field(default_factory=lambda: Raw(b"{}"))


class SessionStatus(Struct):
    """`idle`, `busy` or `retry`; `next` is when (ms since 1970) it tries again."""

    type: str
    attempt: int = 0
    message: str = ""
    next: float = 0


class StatusChanged(Struct, rename={"session": "sessionID"}):
    session: str
    status: SessionStatus


class SessionRef(Struct, rename={"session": "sessionID"}):
    session: str


class Asked(Struct, rename={"session": "sessionID"}):
    """A permission (`permission.asked`) or a question (`question.asked`) that a person has to answer."""

    id: str
    session: str = ""
    permission: str = ""
    patterns: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    questions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def command(self) -> str | None:
        """Exactly what would be run or touched."""
        command = self.metadata.get("command")
        return command if isinstance(command, str) else "\n".join(self.patterns) or None

    @property
    def question(self) -> str:
        if self.permission:
            return f"Allow {self.permission}?"
        texts = (question.get("question") for question in self.questions)
        return "\n".join(text for text in texts if isinstance(text, str))


class Replied(Struct, rename={"session": "sessionID", "request": "requestID"}):
    session: str = ""
    request: str = ""


class MessageTime(Struct):
    created: float = 0
    completed: float | None = None


class MessageError(Struct):
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class MessageInfo(Struct, rename={"parent": "parentID", "session": "sessionID"}):
    id: str
    role: str
    session: str = ""
    parent: str | None = None
    time: MessageTime = field(default_factory=MessageTime)
    finish: str | None = None
    error: MessageError | None = None


class MessageUpdated(Struct):
    info: MessageInfo


class ToolState(Struct):
    """`pending`, `running`, `completed` or `error`."""

    status: str = ""
    input: Any = None
    output: str | None = None
    error: str | None = None

    @property
    def was_denied(self) -> bool:
        return self.status == "error" and (self.error or "").startswith("The user rejected permission")

    @property
    def ended_turn(self) -> bool:
        """Whether it was denied without a word: where a person says why, the turn goes on."""
        return self.was_denied and "with the following feedback" not in (self.error or "")


class Part(Struct):
    type: str
    id: str = ""
    text: str | None = None
    synthetic: bool | None = None
    tool: str | None = None
    state: ToolState | None = None


class StoredMessage(Struct):
    info: MessageInfo
    parts: list[Part] = field(default_factory=list)

    def text(self) -> str:
        return "\n\n".join(part.text for part in self.parts if part.type == "text" and part.text and not part.synthetic)


class SessionTime(Struct):
    updated: float = 0


class StoredSession(Struct, rename={"parent": "parentID"}):
    id: str
    parent: str | None = None
    """Of a subagent's."""
    time: SessionTime = field(default_factory=SessionTime)


class Health(Struct):
    version: str | None = None
