"""The OpenAPI 3.1 document, made from the table of routes and the very types that decode requests."""

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, get_args

import msgspec
from msgspec import Struct

from meshd_core.errors import (
    Forbidden,
    HostNotAllowed,
    Internal,
    InvalidField,
    InvalidRequest,
    MeshdError,
    OriginNotAllowed,
    TooManyFailures,
    Unauthorized,
)
from meshd_core.http.node_api import Document
from meshd_core.http.routes import NoQuery, RouteSpec
from meshd_core.types import (
    AttachMessage,
    AttachRequest,
    ByeEvent,
    DialogEvent,
    EndEvent,
    ErrorAnswer,
    Gap,
    Receipt,
    StateEvent,
)

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")
_EVERYWHERE: tuple[type[MeshdError], ...] = (InvalidRequest, HostNotAllowed, OriginNotAllowed, Internal)
_WITH_SCOPE: tuple[type[MeshdError], ...] = (Unauthorized, Forbidden, TooManyFailures)

Json = dict[str, Any]
"""A piece of the document: JSON Schema and OpenAPI have no fixed shape."""


class LineEvent(Struct, frozen=True):
    """The data of a `line` event; its id is the event's own."""

    n: int
    t: str
    text: str


_EVENTS: dict[str, type[Struct]] = {
    "line": LineEvent,
    "state": StateEvent,
    "inject": Receipt,
    "dialog": DialogEvent,
    "gap": Gap,
    "end": EndEvent,
    "bye": ByeEvent,
}


_FRAMES: dict[str, tuple[type[Struct], ...]] = {"from_server": get_args(AttachMessage), "from_client": (AttachRequest,)}
"""The JSON that goes over a WebSocket beside the terminal's bytes."""


def document(specs: Iterable[RouteSpec], version: str, protocol: str) -> bytes:
    """The document as JSON. `version` is the software's, `protocol` the wire protocol's."""
    routes = list(specs)
    types: set[type[Struct]] = {ErrorAnswer, *_EVENTS.values(), *chain.from_iterable(_FRAMES.values())}
    for spec in routes:
        types |= {
            found for found in (spec.answer, spec.body, *(spec.events or {}).values()) if found not in (None, Document)
        }
    _, schemas = msgspec.json.schema_components(sorted(types, key=lambda found: found.__name__), ref_template=_REF)
    paths: Json = {}
    for spec in routes:
        path = _PARAMETER.sub(r"{\1}", spec.path)
        paths.setdefault(path, {})[spec.method.lower()] = _operation(spec)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "meshd", "version": protocol, "summary": f"meshd {version}: agents behind HTTP"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "meshd_<kid>_<secret>"}},
        },
    }
    return msgspec.json.encode(whole)


def _operation(spec: RouteSpec) -> Json:
    found: Json = {
        "operationId": _operation_id(spec),
        "summary": spec.summary,
        "parameters": _parameters(spec),
        "responses": _responses(spec),
        "security": [] if spec.scope is None else [{"bearer": []}],
        "x-scope": spec.scope,
    }
    if spec.body is not None:
        required = any(item.required for item in msgspec.structs.fields(spec.body))
        found["requestBody"] = {"required": required, "content": _json_content(spec.body)}
    return found


def _operation_id(spec: RouteSpec) -> str:
    path = _PARAMETER.sub(r"by \1", spec.path)
    words = re.findall(r"[a-z0-9]+", f"{spec.method} {path}".lower())
    return "_".join(words)


def _parameters(spec: RouteSpec) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(spec.path)
    ]
    if spec.query is not NoQuery:
        schema = msgspec.json.schema(spec.query)["$defs"][spec.query.__name__]
        for name, shape in schema["properties"].items():
            described = {key: value for key, value in shape.items() if key != "description"}
            item: Json = {"name": name, "in": "query", "required": False, "schema": described}
            if "description" in shape:
                item["description"] = shape["description"]
            found.append(item)
    for name, does in spec.headers:
        item = {"name": name, "in": "header", "required": False, "description": does, "schema": {"type": "string"}}
        found.append(item)
    return found


def _responses(spec: RouteSpec) -> Json:
    found: Json = {str(status): _success(spec) for status in (spec.status, *spec.other_status)}
    errors = {*spec.errors, *_EVERYWHERE, *(_WITH_SCOPE if spec.scope is not None else ())}
    if spec.query is not NoQuery or spec.plugin is None:
        errors.add(InvalidField)
    by_status: dict[int, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    for status, codes in sorted(by_status.items()):
        known = f"`{'`, `'.join(sorted(codes))}`"
        found.setdefault(str(status), {"description": known, "content": _json_content(ErrorAnswer)})
    return found


def _success(spec: RouteSpec) -> Json:
    if spec.status == 101:
        told = {
            name: [{"$ref": _REF.format(name=shape.__name__)} for shape in shapes] for name, shapes in _FRAMES.items()
        }
        return {"description": f"{spec.summary}; binary frames are the terminal's bytes", "x-text-frames": told}
    if spec.content_type == "text/event-stream":
        shapes = _EVENTS if spec.events is None else spec.events
        events = {name: {"$ref": _REF.format(name=shape.__name__)} for name, shape in shapes.items()}
        content: Json = {spec.content_type: {"schema": {"type": "string"}, "x-events": events}}
    elif spec.answer is Document:
        content = {spec.content_type: {"schema": {}}}
    else:
        content = _json_content(spec.answer)
    if spec.other_content_type is not None:
        content[spec.other_content_type] = {"schema": {"type": "string"}}
    headers = {"Meshd-Request-Id": {"schema": {"type": "string"}}}
    return {"description": spec.summary, "content": content, "headers": headers}


def _json_content(shape: type[Struct]) -> Json:
    return {"application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}}
