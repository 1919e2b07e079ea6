"""docs/protocol.md says what the code does: routes, receipts' errors, words, limits, configuration, examples."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import msgspec
import pytest

from meshd_core.auth.tokens import MAX_TOKENS
from meshd_core.config.decode import Document
from meshd_core.config.lines import index_lines
from meshd_core.config.load import judge
from meshd_core.config.model import AuthSection, HttpSection, NodeSection, PeerSection, SlotSection
from meshd_core.http.exchange import MAX_HEADER_BYTES, MAX_HEADERS
from meshd_core.http.fanout import Hub
from meshd_core.http.limits import MAX_UNKNOWN_PER_ADDRESS
from meshd_core.http.node_api import METRICS, NodeApi
from meshd_core.http.routes import MAX_BODY_BYTES, RouteSpec
from meshd_core.http.service import NodeService
from meshd_core.http.table import RouteParts, core_routes
from meshd_core.mesh.mesh import Mesh
from meshd_core.slots.typist import DRAFT_CLEARED
from meshd_core.types import (
    ENDS,
    EVENT_TYPES,
    MAX_PROMPT_BYTES,
    MAX_QUEUED,
    PROGRESS,
    SCOPES,
    ActivityState,
    AnswerRequest,
    ErrorAnswer,
    Explanation,
    InjectRequest,
    MessagePage,
    Node,
    OutputPage,
    Receipt,
    SinkList,
    SlotList,
    Status,
    Ticket,
    Verdict,
)
from tests.docs.markdown import ROOT, Page, rows

MENTION = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9_/{}.<>-]*)")


def table() -> list[RouteSpec]:
    service = cast(NodeService, SimpleNamespace(name="mac1"))  # no handler is called
    mesh = cast(Mesh, SimpleNamespace(dispatcher=None))
    return core_routes(RouteParts(service, Hub(), asyncio.Event(), mesh), NodeApi(service, None))


# -- routes --


def test_every_route_has_a_row_with_its_scope(protocol: Page) -> None:
    described = {(row[0], row[1]) for row in rows(protocol.text) if len(row) > 1}
    missing = [
        f"{spec.method} {spec.path} ({spec.scope})"
        for spec in table()
        if (f"{spec.method} {spec.path}", spec.scope or "none") not in described
    ]
    assert not missing


def test_no_page_mentions_a_route_that_is_neither_served_nor_marked_planned(pages: dict[str, Page]) -> None:
    served = {(spec.method, spec.path) for spec in table()} | {("GET", METRICS)}  # an exporter plugin's
    wrong = []
    for name, page in pages.items():
        heading = ""
        for line in page.prose().split("\n"):
            heading = line if line.startswith("#") else heading
            if "planned" in line.lower() or "planned" in heading.lower() or "plugins/" in name:
                continue
            wrong += [
                f"{name}: {method} {path}" for method, path in MENTION.findall(line) if (method, path) not in served
            ]
    assert not wrong


def test_what_is_planned_is_not_served(protocol: Page) -> None:
    served = {f"{spec.method} {spec.path}" for spec in table()}
    for heading in ("Planned routes",):
        planned = [row[0] for row in rows(protocol.section(heading)) if " /" in row[0]]
        assert planned
        assert served.isdisjoint(planned)


def test_every_query_field_and_body_field_is_described(protocol: Page) -> None:
    for spec in table():
        for shape in (spec.query, spec.body):
            for field in msgspec.structs.fields(shape) if shape else ():
                assert re.search(rf"\b{field.encode_name}\b", protocol.text), f"{spec.path}: {field.encode_name}"


# -- errors --


def test_every_error_of_a_receipt_is_described(protocol: Page) -> None:
    found: set[str] = {"overloaded"}
    for path in (ROOT / "meshd_core" / "slots").glob("*.py"):
        found |= set(re.findall(r'(?:_failure\(|ReceiptError\(code=)"([a-z_]+)"', path.read_text()))
    assert {row[0] for row in rows(protocol.section("Stages"))} >= found


# -- vocabularies --


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Stages", {*PROGRESS, *ENDS}),
        ("Stream", {*EVENT_TYPES}),
        ("Status", {*get_args(Status)}),
        ("Activity", {*get_args(ActivityState)}),
        ("Explain", {*get_args(Verdict), *(field.encode_name for field in msgspec.structs.fields(Explanation))}),
        ("Inject", {field.encode_name for field in msgspec.structs.fields(InjectRequest)}),
    ],
)
def test_every_word_of_the_protocol_has_a_row(protocol: Page, heading: str, words: set[str]) -> None:
    assert {row[0] for row in rows(protocol.section(heading))} >= words


def test_the_scopes_are_listed_in_order(protocol: Page) -> None:
    assert ", ".join(f"`{scope}`" for scope in SCOPES) in protocol.section("Scopes")


def test_every_change_of_a_prompt_is_described(protocol: Page) -> None:
    source = (ROOT / "meshd_core" / "slots" / "sanitize.py").read_text()
    named = set(re.findall(r'change\(.*, "([a-z_]+)"\)', source))
    assert named
    assert {row[0] for row in rows(protocol.section("What is changed in a prompt"))} == named | {DRAFT_CLEARED}


# -- limits and configuration --


def test_the_limits_are_those_of_the_code(protocol: Page) -> None:
    said = {row[0]: row[1] for row in rows(protocol.section("Limits"))}
    assert said["request body"].startswith(f"{MAX_BODY_BYTES // 2**20} MiB")
    assert said["prompt"] == f"{MAX_PROMPT_BYTES // 1024} KiB"
    assert said["headers"].startswith(f"{MAX_HEADERS} headers, {MAX_HEADER_BYTES // 1024} KiB")
    assert said["queued prompts for a slot"] == str(MAX_QUEUED)
    assert said["connections that have shown no credential"].startswith(str(MAX_UNKNOWN_PER_ADDRESS))
    assert said["tokens"] == f"{MAX_TOKENS:,}"


@pytest.mark.parametrize("section", [NodeSection, PeerSection, SlotSection, AuthSection, HttpSection])
def test_every_key_of_the_configuration_is_described(protocol: Page, section: type[msgspec.Struct]) -> None:
    text = protocol.section("6. Configuration")
    missing = [field.name for field in msgspec.structs.fields(section) if not re.search(rf"\b{field.name}\b", text)]
    assert not missing


def test_every_configuration_on_a_page_is_valid(pages: dict[str, Page], tmp_path: Path) -> None:
    (tmp_path / "mac2.token").write_text("the secret that the examples refer to")
    examples = [(name, text) for name, page in pages.items() for text in page.code("toml") if "[[slots]]" in text]
    assert len(examples) >= 3
    for name, text in examples:
        found = judge(Document(name, tomllib.loads(text), index_lines(text)), tmp_path / "meshd.toml", environ={})
        assert not found.problems, (name, found.problems)


# -- examples --

_SHAPES: list[tuple[str, Any]] = [
    ('{"slots": [', SlotList),
    ('{"id": ', Receipt),
    ('{"lines": ', OutputPage),
    ('{"messages": [', MessagePage),
    ('{"name": ', Node),
    ('{"error": ', ErrorAnswer),
    ('{"sinks": [', SinkList),
    ('{"dialog_id": ', AnswerRequest),
    ('{"ticket": ', Ticket),
    ('{"profile": ', Explanation),
]


@pytest.mark.parametrize(("start", "shape"), _SHAPES, ids=[shape.__name__ for _, shape in _SHAPES])
def test_an_example_answer_has_exactly_the_keys_of_its_type(protocol: Page, start: str, shape: Any) -> None:
    examples = [text for text in protocol.code("json") if text.startswith(start)]
    assert examples
    for text in examples:
        again = json.loads(msgspec.json.encode(msgspec.json.decode(text, type=shape)))
        assert again == json.loads(text)


def test_every_json_example_is_one_of_these(protocol: Page) -> None:
    for text in protocol.code("json"):
        assert text.startswith(tuple(start for start, _ in _SHAPES))


def test_the_python_example_compiles(protocol: Page) -> None:
    for text in protocol.code("python"):
        compile(text, "docs/protocol.md", "exec")
