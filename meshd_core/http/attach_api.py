"""The routes of an attached terminal: the WebSocket itself, and tickets for it. Source: protocol sections 2 and 3."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Meta, Struct

from meshd_core.contracts.auth import Principal
from meshd_core.errors import Draining, Forbidden, InvalidField
from meshd_core.http.attach import AttachSession
from meshd_core.http.audit import AuditLog
from meshd_core.http.exchange import Exchange
from meshd_core.http.routes import Call, NoQuery
from meshd_core.http.service import NodeService
from meshd_core.http.slots_api import SlotsApi
from meshd_core.http.tickets import PREFIX, Grant, TicketStore
from meshd_core.http.websocket import WebSocket
from meshd_core.types import Attached, AttachMode, Scope, Size, Ticket, TicketRequest

MAX_TARGET = 2000
_SCOPES: dict[AttachMode, Scope] = {"control": "control", "view": "read"}


class AttachQuery(Struct, frozen=True, forbid_unknown_fields=True):
    mode: Annotated[AttachMode, Meta(description="`view`: look only, which the scope `read` allows")] = "control"
    rows: Annotated[int, Meta(ge=2, le=500, description="the attached terminal's size; `control` only")] | None = None
    cols: Annotated[int, Meta(ge=10, le=1000, description="goes with `rows`")] | None = None
    ticket: Annotated[str, Meta(description="instead of the header; must come last")] | None = None

    def size(self) -> Size | None:
        """The size asked for. Raises InvalidField."""
        if self.rows is None and self.cols is None:
            return None
        if self.rows is None or self.cols is None or self.mode == "view":
            raise InvalidField("'rows' and 'cols' go together, and not with mode=view", field="rows")
        return Size(rows=self.rows, cols=self.cols)


class AttachApi:
    """Handlers; `slots` knows which slot a path names and whether the caller reaches it."""

    def __init__(
        self, service: NodeService, slots: SlotsApi, tickets: TicketStore, closing: asyncio.Event,
        audit: AuditLog | None,
    ) -> None:  # fmt: skip
        self._service, self._slots, self._tickets = service, slots, tickets
        self._closing, self._audit = closing, audit

    async def ticket(self, call: Call[NoQuery, TicketRequest]) -> Ticket:
        target = call.body.path
        path, _, query = target.partition("?")
        if not path.startswith(PREFIX) or len(target) > MAX_TARGET or not (target.isascii() and target.isprintable()):
            raise InvalidField("'path' is not one of /attach/{slot}, with its query", field="path")
        mode = _query(parse_qsl(query, keep_blank_values=True)).mode
        _require(call.principal, mode)
        name = self._slots.named(unquote(path.removeprefix(PREFIX)), call.principal)
        self._service.terminal(name).require_raw()
        return self._tickets.issue(target, Grant(call.principal, call.exchange.identify_again))

    async def attach(self, call: Call[AttachQuery, None]) -> None:
        query, exchange = call.query, call.exchange
        size = query.size()
        _require(call.principal, query.mode)
        name = self._slots.slot_name(call)
        terminal = self._service.terminal(name)
        terminal.require_raw()
        terminal.require_running()
        socket = WebSocket(exchange)
        if self._closing.is_set():
            raise Draining("the daemon is ending")

        async def allowed() -> bool:
            if exchange.identify_again is None:
                return True
            by = await exchange.identify_again()
            return by is not None and by.allows(_SCOPES[query.mode]) and self._slots.reached(name, by)

        socket.accept()
        self._record(exchange, call.principal, f"attach {query.mode}", name, 0)
        with terminal.writing(size) if query.mode == "control" else nullcontext() as writer:
            shown = terminal.size
            hello = Attached(
                slot=name, node=self._service.name, mode=query.mode, rows=shown.rows, cols=shown.cols, pid=terminal.pid
            )
            try:
                await AttachSession(socket, terminal, hello, writer, allowed, self._closing).run()
            finally:
                written = 0 if writer is None else writer.bytes_written
                self._record(exchange, call.principal, "detach", name, written)

    def _record(self, exchange: Exchange, principal: Principal, action: str, slot: str, size: int) -> None:
        if self._audit is not None:
            request_id = exchange.request_id.decode()
            self._audit.record_size(principal, exchange.connection.peer, action, slot, request_id, size)


def _require(principal: Principal, mode: AttachMode) -> None:
    needed = _SCOPES[mode]
    if not principal.allows(needed):
        hint = f"the credential has the scope {principal.scope!r}; mode=view (--view) needs 'read'"
        raise Forbidden(f"this needs the scope {needed!r}", hint=hint, needed=needed)


def _query(pairs: Sequence[tuple[str, str]]) -> AttachQuery:
    """The query that a ticket is asked for. Raises InvalidField."""
    found = dict(pairs)
    if len(found) < len(pairs) or "ticket" in found:
        raise InvalidField("'path' has a query that no attach can have", field="path")
    try:
        query = msgspec.convert(found, AttachQuery, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidField(f"'path' has a query that is not as it should be: {error}", field="path") from error
    query.size()
    return query
