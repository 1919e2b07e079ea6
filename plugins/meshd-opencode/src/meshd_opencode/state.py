"""What OpenCode is doing, out of its events.

A subagent is a session of its own: the agent is busy while any session is.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from meshd_core.api import DialogOption, Observation
from meshd_opencode.api_types import Asked, SessionStatus
from meshd_opencode.profile import LIMIT

_OPTIONS = (
    DialogOption("accept", "Allow once", default=True),
    DialogOption("always", "Allow always"),
    DialogOption("deny", "Reject"),
)
_SOURCE_RULE = "opencode-events"
_LIMIT = re.compile(LIMIT)


class AgentState:
    """Statuses of sessions and what is asked. Each change method says whether anything changed."""

    def __init__(self, worked: bool = False) -> None:
        self._statuses: dict[str, SessionStatus] = {}
        self._asked: dict[str, Asked] = {}
        self._worked = worked

    def restore(self, statuses: Mapping[str, SessionStatus], asked: Iterable[Asked]) -> None:
        """Start from a snapshot: sessions that it doesn't name are idle."""
        self._statuses = {session: status for session, status in statuses.items() if status.type != "idle"}
        self._asked = {one.id: one for one in asked}
        self._worked = self._worked or bool(self._statuses or self._asked)

    def status(self, session: str, status: SessionStatus) -> bool:
        before = self._statuses.get(session, SessionStatus("idle"))
        if status.type == "idle":
            self._statuses.pop(session, None)
            self._asked = {key: one for key, one in self._asked.items() if one.session != session}
        else:
            self._statuses[session] = status
            self._worked = True
        return status != before

    def asked(self, asked: Asked) -> bool:
        self._asked[asked.id] = asked
        self._worked = True
        return True

    def answered(self, request: str) -> bool:
        return self._asked.pop(request, None) is not None

    def is_permission(self, request: str) -> bool:
        """Whether `request` is open, and may be allowed or rejected; a question wants words."""
        return request in self._asked and bool(self._asked[request].permission)

    def observation(self) -> Observation | None:
        """What to report; None before the first work: the server is up before the terminal takes keys."""
        if self._asked:
            return _waiting(next(iter(self._asked.values())))
        retries = (one for one in self._statuses.values() if one.type == "retry" and _LIMIT.search(one.message))
        if (retry := next(retries, None)) is not None:
            until = datetime.fromtimestamp(retry.next / 1000, UTC) if retry.next else None
            return Observation(
                source="api",
                rule=_SOURCE_RULE,
                state="limited",
                matched=f"session.status retry attempt={retry.attempt}",
                confidence=0.95,
                until=None if until is None else until.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            )
        if self._statuses:
            return Observation("api", _SOURCE_RULE, "busy", "session.status busy", 0.95)
        return Observation("api", _SOURCE_RULE, "idle", "session.status idle", 0.95) if self._worked else None


def _waiting(asked: Asked) -> Observation:
    approval = bool(asked.permission)
    return Observation(
        source="api",
        rule=_SOURCE_RULE,
        state="waiting",
        matched="permission.asked" if approval else "question.asked",
        confidence=0.98,
        dialog_kind="approval" if approval else "question",
        question=asked.question,
        command=asked.command if approval else None,
        options=_OPTIONS if approval else (),
        dialog_key=asked.id,
    )
