"""The fake model backend: all protocols, streaming and not, and its log."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.model_backend import Answered, ModelBackend

TOOLS: dict[str, list[dict[str, Any]]] = {
    "/v1/messages": [{"name": "Bash", "input_schema": {}}],
    "/v1/chat/completions": [{"type": "function", "function": {"name": "bash"}}],
    "/v1/responses": [{"type": "function", "name": "exec_command"}, {"type": "web_search"}],
    "/v1beta/models/m:generateContent": [{"functionDeclarations": [{"name": "run_shell_command"}]}],
}
RESPONSES, GEMINI = list(TOOLS)[2:]
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
    return talk(backend, path, [prompt], stream)


def talk(backend: ModelBackend, path: str, prompts: list[str], stream: bool = False) -> tuple[int, bytes]:
    """A conversation: each prompt but the last was answered."""
    said: list[dict[str, Any]] = []
    for prompt in prompts:
        said += [{"role": "user", "content": prompt}, {"role": "assistant", "content": "fine"}]
    if path == GEMINI:
        contents = [{"role": one["role"], "parts": [{"text": one["content"]}]} for one in said[:-1]]
        method = GEMINI.replace(":generate", ":streamGenerate") if stream else GEMINI
        return post(backend, f"{method}?alt=sse", {"contents": contents, "tools": TOOLS[path]})
    key = "input" if path == RESPONSES else "messages"
    return post(backend, path, {"model": "m", key: said[:-1], "stream": stream, "tools": TOOLS[path]})


def answered(backend: ModelBackend, path: str, result: str) -> tuple[int, bytes]:
    """What comes after a tool's result."""
    if path == RESPONSES:
        return post(
            backend, path, {"input": [{"type": "function_call_output", "output": result}], "tools": TOOLS[path]}
        )
    if path == GEMINI:
        part = {"functionResponse": {"name": "run_shell_command", "response": {"output": result}}}
        return post(backend, path, {"contents": [{"role": "user", "parts": [part]}], "tools": TOOLS[path]})
    if path == "/v1/messages":
        blocks = [{"type": "tool_result", "content": [{"type": "text", "text": result}]}]
        return post(backend, path, {"messages": [{"role": "user", "content": blocks}], "tools": TOOLS[path]})
    return post(backend, path, {"messages": [{"role": "tool", "content": result}], "tools": TOOLS[path]})


def whole_text(path: str, body: bytes) -> str:
    answer = json.loads(body)
    if path == RESPONSES:
        return str(answer["output"][0]["content"][0]["text"])
    if path == GEMINI:
        return str(answer["candidates"][0]["content"]["parts"][0]["text"])
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
        elif path == RESPONSES:
            text += data.get("delta", "")
        elif path == GEMINI:
            text += data["candidates"][0]["content"]["parts"][0]["text"]
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
    assert whole_text(path, answered(backend, path, "fine")[1]) == "tool finished: fine"


@pytest.mark.parametrize("path", PATHS)
def test_what_was_asked_before_is_known(backend: ModelBackend, path: str) -> None:
    talk(backend, path, ["one", "two", "three"])
    (received,) = backend.received()
    assert (received.earlier, received.prompt) == (("one", "two"), "three")


def test_gemini_cli_gets_json_for_a_question_of_its_own(backend: ModelBackend) -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "ERR500 which model?"}]}],
        "generationConfig": {"responseMimeType": "application/json"},
    }
    status, answer = post(backend, GEMINI, body)
    assert (status, json.loads(whole_text(GEMINI, answer))["model_choice"]) == (200, "flash")
    assert backend.prompts() == []


def test_context_and_wrappers_around_a_prompt_are_not_part_of_it(backend: ModelBackend) -> None:
    blocks = [
        {"type": "text", "text": "<system-reminder>\nERR400\n</system-reminder>"},
        {"type": "text", "text": "ERR429"},
        {"type": "text", "text": '<pasted_content id="a">\none\ntwo\n</pasted_content id="a">'},
    ]
    post(backend, "/v1/messages", {"messages": [{"role": "user", "content": blocks}], "tools": TOOLS["/v1/messages"]})
    assert backend.prompts() == ["one\ntwo"]
    assert backend.received()[0].earlier == ("ERR429",)


def test_a_prompt_behind_the_result_of_a_refused_call_is_answered(backend: ModelBackend) -> None:
    refused = {"type": "tool_result", "content": [{"type": "text", "text": "refused"}]}
    blocks = [
        refused,
        {"type": "text", "text": "go on"},
        {"type": "text", "text": "<system-reminder>x</system-reminder>"},
    ]
    messages = [{"role": "user", "content": blocks}]
    body = post(backend, "/v1/messages", {"messages": messages, "tools": TOOLS["/v1/messages"]})[1]
    assert whole_text("/v1/messages", body) == "You said: go on"


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
    assert [(line["protocol"], line["prompt"], line["stream"]) for line in lines if "prompt" in line] == [
        ("anthropic", "one", False),
        ("chat", "two", True),
    ]
    assert [(line["answer_to"], line["text"]) for line in lines if "prompt" not in line] == [
        (1, "You said: one"),
        (2, "You said: two"),
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_was_sent_and_when_is_known(backend: ModelBackend, path: str, stream: bool) -> None:
    ask(backend, path, "HANG1 hello", stream=stream)
    (received,), (answered,) = backend.received(), _answers(backend, 1)
    assert (answered.answer_to, answered.status, answered.whole) == (received.id, 200, True)
    assert answered.text == "You said: HANG1 hello"
    assert answered.first_byte is not None
    assert answered.last_byte is not None
    assert received.t + 0.9 <= answered.first_byte <= answered.last_byte


def test_an_answer_that_the_client_hung_up_on_is_not_whole(backend: ModelBackend) -> None:
    connection = http.client.HTTPConnection(backend.url.removeprefix("http://"), timeout=10)
    body = {"stream": True, "messages": [{"role": "user", "content": "SLOW8"}], "tools": TOOLS["/v1/messages"]}
    connection.request("POST", "/v1/messages", json.dumps(body))
    connection.getresponse().read(600)
    connection.close()
    (answered,) = _answers(backend, 1)
    assert not answered.whole
    assert "word1 " in answered.text
    assert "word80" not in answered.text


def test_a_status_for_the_first_tries_only(backend: ModelBackend) -> None:
    statuses = [ask(backend, "/v1/messages", "ERR429x2 again")[0] for _ in range(3)]
    assert statuses == [429, 429, 200]
    assert [(one.status, one.text) for one in _answers(backend, 3)] == [
        (429, ""),
        (429, ""),
        (200, "You said: ERR429x2 again"),
    ]


def _answers(backend: ModelBackend, count: int) -> list[Answered]:
    """The answers, once there are `count`: the client may have all bytes a moment before the backend notes it."""
    deadline = time.monotonic() + 10
    while len(backend.answered()) < count:
        assert time.monotonic() < deadline, backend.answered()
        time.sleep(0.01)
    return backend.answered()


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
