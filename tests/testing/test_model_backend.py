"""The fake model backend: both protocols, streaming and not, and its log."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.model_backend import ModelBackend

TOOLS: dict[str, list[dict[str, Any]]] = {
    "/v1/messages": [{"name": "Bash", "input_schema": {}}],
    "/v1/chat/completions": [{"type": "function", "function": {"name": "bash"}}],
}
PATHS = list(TOOLS)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[ModelBackend]:
    with ModelBackend(tmp_path / "model.jsonl") as running:
        yield running


def post(backend: ModelBackend, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(backend.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(backend: ModelBackend, path: str, prompt: str, stream: bool = False) -> tuple[int, bytes]:
    messages = [{"role": "user", "content": prompt}]
    return post(backend, path, {"model": "m", "messages": messages, "stream": stream, "tools": TOOLS[path]})


def whole_text(path: str, body: bytes) -> str:
    answer = json.loads(body)
    if path == "/v1/messages":
        return str(answer["content"][0]["text"])
    return str(answer["choices"][0]["message"]["content"])


def streamed_text(path: str, body: bytes) -> str:
    text = ""
    for line in body.decode().split("\n"):
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        data = json.loads(line[6:])
        if path == "/v1/messages":
            text += data.get("delta", {}).get("text", "")
        elif data["choices"]:
            text += data["choices"][0]["delta"].get("content", "")
    return text


@pytest.mark.parametrize("path", PATHS)
def test_a_prompt_is_answered_the_same_way_whole_and_streamed(backend: ModelBackend, path: str) -> None:
    assert whole_text(path, ask(backend, path, "hello ü")[1]) == "You said: hello ü"
    assert streamed_text(path, ask(backend, path, "hello ü", stream=True)[1]) == "You said: hello ü"
    assert backend.prompts() == ["hello ü", "hello ü"]


@pytest.mark.parametrize("path", PATHS)
def test_a_status_can_be_asked_for(backend: ModelBackend, path: str) -> None:
    status, body = ask(backend, path, "please ERR429 now")
    assert status == 429
    assert "429" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
def test_a_tool_is_called_with_the_rest_of_the_line_and_its_result_ends_the_turn(
    backend: ModelBackend, path: str
) -> None:
    called = ask(backend, path, "TOOL touch x", stream=True)[1]
    assert b"touch x" in called
    if path == "/v1/messages":
        result = [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "fine"}]}]}]
    else:
        result = [{"role": "tool", "content": "fine"}]
    body = post(backend, path, {"messages": result, "tools": TOOLS[path]})[1]
    assert whole_text(path, body) == "tool finished: fine"


def test_context_and_wrappers_around_a_prompt_are_not_part_of_it(backend: ModelBackend) -> None:
    blocks = [
        {"type": "text", "text": "<system-reminder>\nERR400\n</system-reminder>"},
        {"type": "text", "text": "ERR429"},
        {"type": "text", "text": '<pasted_content id="a">\none\ntwo\n</pasted_content id="a">'},
    ]
    post(backend, "/v1/messages", {"messages": [{"role": "user", "content": blocks}], "tools": TOOLS["/v1/messages"]})
    assert backend.prompts() == ["one\ntwo"]


def test_a_request_without_tools_is_a_side_request(backend: ModelBackend) -> None:
    body = post(backend, "/v1/chat/completions", {"messages": [{"role": "user", "content": "ERR500 title?"}]})[1]
    assert whole_text("/v1/chat/completions", body) == "A fake title"
    assert backend.prompts() == []


def test_what_is_no_request_is_refused(backend: ModelBackend) -> None:
    assert post(backend, "/v1/messages", {"messages": "none"})[0] == 400
    assert post(backend, "/v1/elsewhere", {})[0] == 404


def test_each_request_is_one_line_of_the_log(backend: ModelBackend, tmp_path: Path) -> None:
    ask(backend, "/v1/messages", "one")
    ask(backend, "/v1/chat/completions", "two", stream=True)
    lines = [json.loads(line) for line in (tmp_path / "model.jsonl").read_text().splitlines()]
    assert [(line["protocol"], line["prompt"], line["stream"]) for line in lines] == [
        ("anthropic", "one", False),
        ("chat", "two", True),
    ]


def test_it_ends_at_once_while_it_hangs(tmp_path: Path) -> None:
    with ModelBackend() as backend:
        connection = http.client.HTTPConnection(backend.url.removeprefix("http://"), timeout=10)
        messages = [{"role": "user", "content": "HANG60"}]
        body = {"messages": messages, "tools": TOOLS["/v1/messages"]}
        connection.request("POST", "/v1/messages", json.dumps(body))
        deadline = time.monotonic() + 10
        while not backend.received():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    connection.close()
