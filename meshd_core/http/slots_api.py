"""The routes of one slot: state, prompts, output, lifecycle. Source: protocol section 3."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from meshd_core.auth.reach import reaches
from meshd_core.contracts.auth import Principal
from meshd_core.errors import Draining, InjectNotFound, InvalidField, NodeNotFound, SlotNotFound, TooLarge
from meshd_core.http.cursors import resume_at, since
from meshd_core.http.draining import unless_closing
from meshd_core.http.exchange import Exchange
from meshd_core.http.fanout import Hub
from meshd_core.http.pages import read_page, wait_for_page
from meshd_core.http.routes import Call, NoQuery, Reply
from meshd_core.http.service import Feed, NodeService
from meshd_core.http.stream import Reader, Start
from meshd_core.http.via import entered_by
from meshd_core.slots.receipts import reached
from meshd_core.types import (
    EVENT_TYPES,
    IDEMPOTENCY_KEY,
    MAX_PROMPT_BYTES,
    ActivityState,
    InjectRequest,
    MessagePage,
    OutputPage,
    Receipt,
    RestartRequest,
    Screen,
    Slot,
    SlotDetail,
    SlotList,
    StartRequest,
    Status,
    StopRequest,
)

_STATUSES = frozenset(get_args(Status))
_ACTIVITIES = frozenset(get_args(ActivityState))
KEY_HEADER = ("Idempotency-Key", "the same key gives the stored receipt, for 24 h; never types twice")


class SlotsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Annotated[str, Meta(description="kinds, separated by commas")] | None = None
    status: Annotated[str, Meta(description="statuses, separated by commas")] | None = None
    activity: Annotated[str, Meta(description="activities, separated by commas")] | None = None
    label: Annotated[tuple[str, ...], Meta(description="`key:value`; repeated: all must match")] = ()


class SlotQuery(Struct, frozen=True, forbid_unknown_fields=True):
    wait_for: Annotated[str, Meta(description="activities or statuses, separated by commas")] | None = None
    wait_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    explain: Annotated[bool, Meta(description="add `explain`: why its activity is what it is")] = False


class OutputQuery(Struct, frozen=True, forbid_unknown_fields=True):
    since: Annotated[str, Meta(description="an event's id, or `oldest`; default: the newest lines")] | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    wait_s: Annotated[float, Meta(ge=0, le=60, description="wait for lines if there are none yet")] = 0.0
    format: Literal["json", "text"] = "json"


class MessagesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    before: Annotated[str, Meta(description="a message's id: those before it; default: the newest")] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    since: Annotated[str, Meta(description="an event's id, or `oldest`")] | None = None
    tail: Annotated[int, Meta(ge=0, le=1_000_000, description="begin with the newest lines")] | None = None
    events: Annotated[str, Meta(description="event types, separated by commas; default: all")] | None = None


class SlotsApi:
    """Handlers of slot routes. A slot that the caller's globs don't reach is not found: its name is not told either."""

    def __init__(self, service: NodeService, hub: Hub, closing: asyncio.Event) -> None:
        self._service = service
        self._hub = hub
        self._closing = closing

    async def slots(self, call: Call[SlotsQuery, None]) -> SlotList:
        wanted = slot_filter(call.query)
        own = self._service.name
        found = [
            slot for slot in self._service.slots() if wanted(slot) and reaches(call.principal, slot.name, own, own)
        ]
        return SlotList(slots=found)

    async def slot(self, call: Call[SlotQuery, None]) -> SlotDetail:
        name = self.slot_name(call)
        states = _names("wait_for", call.query.wait_for, _STATUSES | _ACTIVITIES)
        found = self._service.slot(name)
        if states is not None:
            found = await unless_closing(self._closing, self._service.wait_for(name, states, call.query.wait_s))
        return replace(found, explain=self._service.explain(name)) if call.query.explain else found

    async def inject(self, call: Call[NoQuery, InjectRequest]) -> Reply:
        name = self.slot_name(call)
        key = idempotency_key(call.exchange)
        check_text(call.body.text)
        by, wanted = entered_by(call.exchange, call.principal)
        receipt = await self._service.inject(name, call.body, by, key, wanted)
        return Reply(receipt, 200 if reached(receipt, call.body.until) else 202)

    async def receipt(self, call: Call[NoQuery, None]) -> Receipt:
        return self._receipt(call)

    async def cancel(self, call: Call[NoQuery, None]) -> Receipt:
        return await self._service.cancel(self._receipt(call).id)

    async def output(self, call: Call[OutputQuery, None]) -> Reply | OutputPage:
        feed = self._feed(call)
        query = call.query
        start, gap = (feed.tail_lines(query.limit), None) if query.since is None else since(feed, query.since)
        if query.wait_s:
            page = await wait_for_page(feed, start, gap, query.limit, query.wait_s)
        else:
            page = read_page(feed, start, gap, query.limit)
        if query.format == "json":
            return page
        text = "".join(f"{line.text}\n" for line in page.lines).encode()
        headers = [(b"meshd-next", page.next.encode())]
        if page.gap is not None:
            lost = "unknown" if page.gap.lost_lines is None else str(page.gap.lost_lines)
            headers.append((b"meshd-lost-lines", lost.encode()))
        return Reply(text, 200, "text/plain; charset=utf-8", tuple(headers))

    async def stream(self, call: Call[StreamQuery, None]) -> None:
        name = self.slot_name(call)
        feed = self._service.feed(name)
        query = call.query
        kinds = _names("events", query.events, frozenset(EVENT_TYPES))
        last_id = call.exchange.headers.get("last-event-id")
        if query.since is not None and query.tail is not None:
            raise InvalidField("'since' and 'tail' exclude each other", field="tail")
        if last_id:
            position, gap = resume_at(feed, last_id)
            start = Start(position, kinds, gap=gap)
        elif query.since is not None:
            position, gap = since(feed, query.since)
            start = Start(position, kinds, gap=gap)
        elif query.tail is not None:
            start = Start(feed.tail_lines(query.tail) if query.tail else feed.head, kinds)
        else:
            start = Start(feed.head, kinds, snapshot=True)
        if self._closing.is_set():
            raise Draining("the daemon is ending")

        def allowed(principal: Principal) -> bool:
            return principal.allows("read") and self.reached(name, principal)

        await Reader(call.exchange, feed, start, self._hub, allowed).run()

    async def screen(self, call: Call[NoQuery, None]) -> Screen:
        return self._service.screen(self.slot_name(call))

    async def messages(self, call: Call[MessagesQuery, None]) -> MessagePage:
        work = self._service.messages(self.slot_name(call), call.query.before, call.query.limit)
        return await unless_closing(self._closing, work)

    async def start(self, call: Call[NoQuery, StartRequest]) -> Slot:
        return await self._service.start(self.slot_name(call), call.body)

    async def stop(self, call: Call[NoQuery, StopRequest]) -> Slot:
        return await self._service.stop(self.slot_name(call), call.body)

    async def restart(self, call: Call[NoQuery, RestartRequest]) -> Slot:
        return await self._service.restart(self.slot_name(call), call.body)

    def slot_name(self, call: Call[Any, Any]) -> str:
        """The slot that the path names. Raises NodeNotFound, SlotNotFound."""
        return self.named(call.params["slot"], call.principal)

    def named(self, address: str, principal: Principal) -> str:
        """The slot of this node at `address`, if `principal` reaches it. Raises NodeNotFound, SlotNotFound."""
        name, at, node = address.partition("@")
        own = self._service.name
        if at and node != own:
            raise NodeNotFound("this node knows no node of that name", hint=f"this node is {own!r}")
        if not self.reached(name, principal):
            raise SlotNotFound(name[:80])
        return name

    def reached(self, name: str, principal: Principal) -> bool:
        """Whether `principal` reaches the slot `name` of this node."""
        own = self._service.name
        return reaches(principal, name, own, own)

    def _feed(self, call: Call[Any, Any]) -> Feed:
        return self._service.feed(self.slot_name(call))

    def _receipt(self, call: Call[Any, Any]) -> Receipt:
        receipt = self._service.receipt(call.params["id"])
        own = self._service.name
        if not reaches(call.principal, receipt.slot, own, own):
            raise InjectNotFound
        return receipt


def idempotency_key(exchange: Exchange) -> str | None:
    """The caller's key. Raises InvalidField."""
    key = exchange.headers.get("idempotency-key")
    if key is not None and IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise InvalidField(
            "'Idempotency-Key' must be 1 to 200 printable ASCII characters without blanks", field="Idempotency-Key"
        )
    return key


def slot_filter(query: SlotsQuery) -> Callable[[Slot], bool]:
    """Whether a slot is what the query asks for. Raises InvalidField for a query that makes no sense."""
    kinds = _names("kind", query.kind, None)
    statuses = _names("status", query.status, _STATUSES)
    activities = _names("activity", query.activity, _ACTIVITIES)
    labels = [_label(text) for text in query.label]

    def wanted(slot: Slot) -> bool:
        return (
            (kinds is None or slot.kind in kinds)
            and (statuses is None or slot.status in statuses)
            and (activities is None or slot.activity.state in activities)
            and all(slot.labels.get(key) == value for key, value in labels)
        )

    return wanted


def check_text(text: str) -> None:
    """Raises InvalidField for text that has no UTF-8 form, TooLarge past 256 KiB."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidField("'text' has a lone surrogate, which no UTF-8 can hold", field="text") from None
    if size > MAX_PROMPT_BYTES:
        raise TooLarge(f"the prompt is larger than {MAX_PROMPT_BYTES} bytes", limit_bytes=MAX_PROMPT_BYTES)


def _names(field: str, text: str | None, allowed: frozenset[str] | None) -> frozenset[str] | None:
    if text is None:
        return None
    names = frozenset(name.strip() for name in text.split(","))
    unknown = names - allowed if allowed is not None else frozenset[str]()
    if unknown:
        known = ", ".join(sorted(allowed or ()))
        raise InvalidField(f"{field!r} has a name that doesn't exist", hint=f"there are: {known}", field=field)
    return names


def _label(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise InvalidField("'label' must be written as key:value", field="label")
    return key, value
