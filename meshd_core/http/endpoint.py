"""From a matched path to a handler and back: method, scope, query, body, audit, answer."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from meshd_core.auth.reach import reaches_all
from meshd_core.clock import monotonic
from meshd_core.errors import (
    Forbidden,
    InvalidField,
    InvalidJson,
    InvalidRequest,
    MethodNotAllowed,
    SlotNotFound,
    Unauthorized,
)
from meshd_core.http.audit import AuditLog
from meshd_core.http.exchange import Exchange
from meshd_core.http.routes import MAX_BODY_BYTES, Call, NoQuery, Reply, RouteSpec
from meshd_core.http.via import claimed_subject
from meshd_core.types import InjectRequest

MAX_QUERY_FIELDS = 32
LONG_S = 1.0
"""A read that waited longer (`wait_s`) is answered only if its credential is still good."""
_encode = msgspec.json.Encoder().encode


class Endpoint:
    """All methods of one path, as an ASGI application for Starlette's router."""

    def __init__(self, specs: Sequence[RouteSpec], audit: AuditLog | None) -> None:
        self._by_method = {spec.method: _Runner(spec, audit) for spec in specs}
        self.allowed = sorted(self._by_method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["exchange"]
        runner = self._by_method.get(exchange.method)
        if runner is None:
            allow = ", ".join(self.allowed)
            raise MethodNotAllowed("this method is not possible here", hint=f"possible: {allow}", allow=allow)
        await runner.run(exchange, scope["path_params"])


class _Runner:
    """One route at work."""

    def __init__(self, spec: RouteSpec, audit: AuditLog | None) -> None:
        self._spec = spec
        self._audit = audit if spec.writes else None
        self._action = f"{spec.method} {spec.path}"
        self._decoder = None if spec.body is None else msgspec.json.Decoder(spec.body)
        self._body_optional = spec.body is not None and not any(
            found.required for found in msgspec.structs.fields(spec.body)
        )
        self._many = frozenset(
            found.name for found in msgspec.structs.fields(spec.query) if found.default == ()
        )  # query fields that may be repeated

    async def run(self, exchange: Exchange, params: dict[str, str]) -> None:
        spec = self._spec
        principal = exchange.principal
        if spec.scope is not None and (principal is None or not principal.allows(spec.scope)):
            held = "none" if principal is None else principal.scope
            hint = f"the credential has the scope {held!r}"
            raise Forbidden(f"this needs the scope {spec.scope!r}", hint=hint, needed=spec.scope, held=held)
        query = self._query(exchange)
        raw, body = await self._body(exchange)
        call: Call[Any, Any] = Call(exchange, params, query, body)
        if self._audit is not None and principal is not None:
            content = body.text.encode("utf-8", "replace") if isinstance(body, InjectRequest) else raw
            request_id = exchange.request_id.decode()
            slot = params.get("slot")
            claimed = claimed_subject(exchange, principal)
            self._audit.record(principal, exchange.connection.peer, self._action, slot, request_id, content, claimed)
        began = monotonic()
        try:
            found = await spec.handler(call)
        except SlotNotFound as error:
            if principal is not None and not reaches_all(principal):
                named = str(error.details.get("slot", ""))[:130]
                raise SlotNotFound(named) from error  # its hint may name a slot out of reach
            raise
        if found is not None:
            if spec.method == "GET" and monotonic() - began > LONG_S:
                await self._require_still_known(exchange)
            await self._answer(exchange, found)

    async def _require_still_known(self, exchange: Exchange) -> None:
        if exchange.identify_again is not None and await exchange.identify_again() is None:
            raise Unauthorized("the credential ended meanwhile")

    async def _answer(self, exchange: Exchange, found: Struct) -> None:
        if not isinstance(found, Reply):
            await exchange.answer(self._spec.status, _encode(found))
            return
        content = found.content if isinstance(found.content, bytes) else _encode(found.content)
        kind = None if found.content_type is None else found.content_type.encode("latin-1")
        await exchange.answer(found.status, content, kind, found.headers)

    def _query(self, exchange: Exchange) -> Any:
        text = exchange.scope["query_string"]
        if not text and self._spec.plugin is None:
            return NO_QUERY if self._spec.query is NoQuery else self._spec.query()
        try:
            pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError as error:
            raise InvalidRequest(f"the query has more than {MAX_QUERY_FIELDS} fields") from error
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in self._many:
                found.setdefault(key, []).append(value)
            elif key in found:
                raise InvalidField("a query field was given twice", field=key[:80])
            else:
                found[key] = value
        if self._spec.plugin is not None:
            return found
        try:
            query = msgspec.convert(found, self._spec.query, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidField(f"the query is not as it should be: {error}") from error
        for name in found:
            value = getattr(query, name)
            if isinstance(value, float) and value != value:  # NaN passes every bound
                raise InvalidField(f"{name!r} is not a number", field=name)
        return query

    async def _body(self, exchange: Exchange) -> tuple[bytes, Any]:
        if self._spec.plugin is not None and self._spec.method != "GET":
            raw = await exchange.read_json_body(MAX_BODY_BYTES)
            return raw, raw
        if self._decoder is None or self._spec.body is None:
            return b"", None
        raw = await exchange.read_json_body(MAX_BODY_BYTES)
        if not raw and self._body_optional:
            return raw, self._spec.body()
        try:
            return raw, self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise InvalidField(f"the body is not as it should be: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidJson("the body is not valid JSON") from error
        except RecursionError as error:
            raise InvalidJson("the body is nested too deeply") from error


NO_QUERY = NoQuery()
