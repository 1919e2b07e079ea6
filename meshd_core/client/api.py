"""`MeshdClient`: each route of the protocol as a typed method. Source: docs/protocol.md sections 3 and 4."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from meshd_core.client.answers import decode, error_from
from meshd_core.client.connection import ANSWER_TIMEOUT_S, Answer, Endpoint, Requester
from meshd_core.client.events import Event, EventType
from meshd_core.client.stream import SILENCE_S, EventStream, Start
from meshd_core.errors import InvalidField
from meshd_core.types import (
    Health,
    InjectRequest,
    NewToken,
    Node,
    OutputPage,
    PluginInfo,
    PluginList,
    Receipt,
    ReloadReport,
    ReloadRequest,
    RestartRequest,
    Scope,
    Screen,
    ShutdownAnswer,
    ShutdownRequest,
    SinkInfo,
    SinkList,
    Slot,
    SlotDetail,
    SlotList,
    StartRequest,
    StopRequest,
    TokenInfo,
    TokenList,
    TokenRequest,
)

T = TypeVar("T")
Query = dict[str, str | int | float | list[str] | None]

LIFECYCLE_TIMEOUT_S = 120.0
"""How long a start or stop may take to answer: an agent may use up each of its graces."""


class MeshdClient:
    """One daemon, over TCP (`url`, with `token`) or its Unix socket (`socket`). For one thread at a time.

    Every method raises the `MeshdError` of the answer's code, `Unreachable` if no daemon answers in time, `BadAnswer`
    if what answers is not meshd.
    """

    def __init__(self, *, url: str | None = None, token: str | None = None, socket: Path | None = None) -> None:
        self._endpoint = Endpoint(url, token, socket)
        self._requester = Requester(self._endpoint)

    @property
    def address(self) -> str:
        """The URL or the socket's path."""
        return self._endpoint.address

    @property
    def is_local(self) -> bool:
        """Whether the daemon is reached over a Unix socket, so that it runs on this machine."""
        return self._endpoint.socket_path is not None

    def another(self) -> "MeshdClient":
        """A client of the same daemon with a connection of its own, for another thread."""
        url = None if self._endpoint.socket_path else self._endpoint.address
        return MeshdClient(url=url, token=self._endpoint.token, socket=self._endpoint.socket_path)

    def close(self) -> None:
        self._requester.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- slots --

    def slots(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        activity: str | None = None,
        labels: Iterable[str] = (),
    ) -> list[Slot]:
        """The slots that match every filter given; `labels` as `key:value`."""
        query: Query = {"kind": kind, "status": status, "activity": activity, "label": list(labels)}
        return self._get("/slots", SlotList, query).slots

    def slot(self, name: str, *, wait_for: Iterable[str] = (), wait_s: float | None = None) -> SlotDetail:
        """One slot; with `wait_for` (activities or statuses) once it is so, or as it is after `wait_s` seconds."""
        query: Query = {"wait_for": ",".join(wait_for) or None, "wait_s": wait_s}
        return self._get(_path("slots", name), SlotDetail, query, wait_s=wait_s or 0.0)

    def start(self, name: str, *, resume: bool = False) -> Slot:
        """Start the slot's agent; `resume` continues its last conversation where the kind can."""
        return self._post(_path("start", name), Slot, StartRequest(resume=resume), LIFECYCLE_TIMEOUT_S)

    def stop(self, name: str, *, grace_s: float | None = None) -> Slot:
        """Stop the slot's agent; `grace_s`: seconds for each step before the next, default the kind's own."""
        wait_s = LIFECYCLE_TIMEOUT_S + 3 * (grace_s or 0.0)
        return self._post(_path("stop", name), Slot, StopRequest(grace_s=grace_s), wait_s)

    def restart(self, name: str, *, resume: bool = False, grace_s: float | None = None) -> Slot:
        """Stop, then start."""
        wait_s = LIFECYCLE_TIMEOUT_S + 3 * (grace_s or 0.0)
        return self._post(_path("restart", name), Slot, RestartRequest(resume=resume, grace_s=grace_s), wait_s)

    # -- prompts --

    def inject(self, name: str, request: InjectRequest, *, key: str | None = None) -> Receipt:
        """Have a prompt typed; returns once `request.until` is reached, the receipt ended, or `timeout_s` passed.

        With the same `key` (Idempotency-Key) the same prompt is never typed twice; without one, one is made up, so
        that a request repeated on a fresh connection is safe too.
        """
        if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
            raise InvalidField("an idempotency key is printable ASCII", field="Idempotency-Key")
        answer = self._requester.request(
            "POST",
            _path("inject", name),
            body=msgspec.json.encode(request),
            headers={"Idempotency-Key": key or os.urandom(16).hex()},
            timeout_s=ANSWER_TIMEOUT_S + request.timeout_s,
            repeatable=True,
        )
        return self._decoded(answer, Receipt)

    def receipt(self, receipt_id: str) -> Receipt:
        return self._get(_path("injects", receipt_id), Receipt)

    def cancel(self, receipt_id: str) -> Receipt:
        """Cancel a prompt that is still queued. Raises InjectNotCancellable once it is being typed."""
        return self._decoded(self._requester.request("DELETE", _path("injects", receipt_id), repeatable=True), Receipt)

    # -- output --

    def output(
        self, name: str, *, since: str | None = None, limit: int | None = None, wait_s: float | None = None
    ) -> OutputPage:
        """Lines after `since` (an event id or "oldest"); without it the newest `limit`. `wait_s`: long poll."""
        query: Query = {"since": since, "limit": limit, "wait_s": wait_s}
        return self._get(_path("output", name), OutputPage, query, wait_s=wait_s or 0.0)

    def screen(self, name: str) -> Screen:
        """What a person would see now."""
        return self._get(_path("screen", name), Screen)

    def stream(
        self,
        name: str,
        *,
        since: str | None = None,
        tail: int | None = None,
        last_event_id: str | None = None,
        events: Iterable[EventType] = (),
        deadline_s: float | None = None,
        silence_s: float = SILENCE_S,
        on_away: Callable[[Exception], None] | None = None,
    ) -> Iterator[Event]:
        """The slot's events, resumed by itself after any disconnect, with nothing twice and losses as `gap` events.

        At most one of `since` ("oldest" or an id), `tail` (lines) and `last_event_id`; with none, a snapshot and what
        comes from now on. Ends after `deadline_s`. `on_away` is told each time the connection was lost.
        """
        if sum(cursor is not None for cursor in (since, tail, last_event_id)) > 1:
            raise ValueError("give at most one of since, tail and last_event_id")
        only = ",".join(events)
        start = Start(
            target=_path("stream", name) + (f"?{urlencode({'events': only})}" if only else ""),
            cursor=urlencode({"tail": tail} if tail is not None else {"since": since} if since is not None else {}),
            position=last_event_id,
            opening_position=self._opening_position(name, since or last_event_id, tail),
        )
        stream = EventStream(self._endpoint, start, deadline_s=deadline_s, silence_s=silence_s, on_away=on_away)
        return iter(stream)

    def _opening_position(self, name: str, cursor: str | None, tail: int | None) -> str | None:
        """Where to resume if the connection is lost before any event with an id: else what came meanwhile is missed."""
        if cursor is not None:
            return None
        held = self.slot(name).output
        return held.last_id if not tail or held.lines == 0 else None

    # -- node --

    def health(self) -> Health:
        """Whether the daemon is well; "draining" comes as an answer too, not as an error."""
        answer = self._requester.request("GET", "/health", repeatable=True)
        if answer.status == 503 and b'"status"' in answer.body:
            return decode(answer.body, Health, self.address)
        return self._decoded(answer, Health)

    def node(self) -> Node:
        return self._get("/node", Node)

    def sinks(self) -> list[SinkInfo]:
        """The fleet sinks, in the order of the configuration."""
        return self._get("/sinks", SinkList).sinks

    def plugins(self) -> list[PluginInfo]:
        return self._get("/plugins", PluginList).plugins

    def reload(self, *, restart: Literal["none", "changed"] = "none", stop_removed: bool = False) -> ReloadReport:
        """Read the configuration again. "changed" restarts the slots that would be stale.

        Raises ConfigInvalid with all that is wrong, SlotsStillRunning unless `stop_removed`.
        """
        body = ReloadRequest(restart=restart, stop_removed=stop_removed)
        return self._post("/reload", ReloadReport, body, LIFECYCLE_TIMEOUT_S)

    def shutdown(self, agents: Literal["stop", "keep"] = "stop") -> ShutdownAnswer:
        """End agents, keeper and daemon; "keep": the daemon alone. Answers before it is done."""
        return self._post("/shutdown", ShutdownAnswer, ShutdownRequest(agents=agents), ANSWER_TIMEOUT_S)

    # -- tokens --

    def tokens(self) -> list[TokenInfo]:
        return self._get("/tokens", TokenList).tokens

    def create_token(
        self, scope: Scope, *, slots: Iterable[str] = ("*",), label: str | None = None, expires: str | None = None
    ) -> NewToken:
        """A new token; `expires` as `30d`, `12h` or `90m`, None for never. Its secret is never shown again."""
        body = TokenRequest(scope=scope, slots=tuple(slots), label=label, expires=expires)
        return self._post("/tokens", NewToken, body, ANSWER_TIMEOUT_S)

    def revoke_token(self, kid: str) -> None:
        """End a token at once."""
        self._checked(self._requester.request("DELETE", _path("tokens", kid), repeatable=True))

    # -- one request --

    def _get(self, path: str, shape: type[T], query: Query | None = None, *, wait_s: float = 0.0) -> T:
        given = {key: value for key, value in (query or {}).items() if value is not None}
        target = f"{path}?{text}" if (text := urlencode(given, doseq=True)) else path
        timeout_s = ANSWER_TIMEOUT_S + wait_s
        return self._decoded(self._requester.request("GET", target, timeout_s=timeout_s, repeatable=True), shape)

    def _post(self, path: str, shape: type[T], body: Struct, timeout_s: float) -> T:
        data = msgspec.json.encode(body)
        answer = self._requester.request("POST", path, body=data, timeout_s=timeout_s, repeatable=False)
        return self._decoded(answer, shape)

    def _checked(self, answer: Answer) -> Answer:
        if not 200 <= answer.status < 300:
            raise error_from(answer.status, answer.body, self.address)
        return answer

    def _decoded(self, answer: Answer, shape: type[T]) -> T:
        return decode(self._checked(answer).body, shape, self.address)


def _path(route: str, name: str) -> str:
    """`/route/name` with everything quoted that could leave its segment; `@` stays readable."""
    return f"/{route}/{quote(name, safe='@')}"
