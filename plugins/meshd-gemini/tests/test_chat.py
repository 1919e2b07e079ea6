"""Gemini CLI's session log: the answer to a prompt, with a history that is written again after a refusal."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from meshd_gemini.chat import find_answer, find_chats

from meshd_core.api import Answer

T0 = 1_795_000_000_000
SESSION = "7a3a19d5-831e-42e0-81fe-8ed1b42bce73"


class Chat:
    """A log being written, as 0.61.0 writes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chat.jsonl"
        self._count = 0
        self.write({"sessionId": SESSION, "kind": "main"})

    def write(self, record: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def add(self, kind: str, content: Any, at_ms: int, **more: Any) -> str:
        self._count += 1
        name = str(more.pop("id", f"m{self._count}"))
        stamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.write({"id": name, "timestamp": stamp, "type": kind, "content": content, **more})
        self.write({"$set": {"lastUpdated": stamp}})
        return name

    def prompt(self, text: str, at_ms: int) -> None:
        self.add("user", [{"text": text}], at_ms)

    def tool(self, at_ms: int, status: str = "success") -> None:
        call = {"name": "run_shell_command", "args": {"command": "touch x"}, "status": status}
        name = self.add("gemini", "", at_ms)
        self.add("gemini", "", at_ms, id=name, toolCalls=[call])
        if status == "success":
            self.add("user", [{"functionResponse": {"response": {"output": "ok"}}}], at_ms + 1)


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    return Chat(tmp_path)


def test_the_answer_is_what_was_said_after_the_prompt(chat: Chat) -> None:
    chat.prompt("hello", T0)
    assert find_answer(chat.path, "hello", T0) == Answer("", False)
    chat.add("gemini", "Hello!", T0 + 100)
    assert find_answer(chat.path, "hello", T0) == Answer("Hello!", True)


def test_a_turn_with_a_tool_is_over_with_the_text_after_it(chat: Chat) -> None:
    chat.prompt("do it", T0)
    chat.tool(T0 + 10)
    assert find_answer(chat.path, "do it", T0) == Answer("", False)
    chat.add("gemini", "Done.", T0 + 20)
    assert find_answer(chat.path, "do it", T0) == Answer("Done.", True)


def test_the_last_version_of_a_message_counts(chat: Chat) -> None:
    chat.prompt("hello", T0)
    name = chat.add("gemini", "Hello", T0 + 10)
    chat.add("gemini", "Hello!", T0 + 10, id=name)
    assert find_answer(chat.path, "hello", T0) == Answer("Hello!", True)


def test_the_turn_before_and_the_one_after_are_not_the_answer(chat: Chat) -> None:
    chat.prompt("same", T0)
    chat.add("gemini", "the first", T0 + 10)
    assert find_answer(chat.path, "same", T0 + 200) is None
    chat.prompt("same", T0 + 210)
    chat.add("gemini", "the second", T0 + 220)
    chat.prompt("next", T0 + 300)
    chat.add("gemini", "the third", T0 + 310)
    assert find_answer(chat.path, "same", T0 + 200) == Answer("the second", True)


def test_a_history_that_is_written_again_is_no_answer_and_hides_none(chat: Chat) -> None:
    chat.prompt("first", T0)
    chat.add("gemini", "one", T0 + 10)
    chat.prompt("refused", T0 + 20)
    chat.tool(T0 + 30, "cancelled")
    chat.add("info", "Request cancelled.", T0 + 40)
    again = T0 + 41
    chat.add("user", [{"text": "<session_context>x</session_context>"}, {"text": "first"}], again)
    chat.add("gemini", [{"text": "one"}], again)
    chat.write({"$set": {"messages": [{"id": "x", "type": "user", "content": [{"text": "first"}]}]}})
    assert find_answer(chat.path, "refused", T0 + 20) == Answer("", True)
    assert find_answer(chat.path, "first", T0) == Answer("one", True)
    chat.prompt("first", T0 + 100)
    chat.add("gemini", "one more", T0 + 110)
    assert find_answer(chat.path, "first", T0 + 90) == Answer("one more", True)


def test_a_turn_that_failed_is_answered_with_its_error(chat: Chat) -> None:
    chat.prompt("hello", T0)
    chat.add("error", '[API Error: {"error":{"code":401}}]', T0 + 10)
    chat.add("info", "This request failed. Press F12 for diagnostics", T0 + 11)
    error = '[API Error: {"error":{"code":401}}]'
    assert find_answer(chat.path, "hello", T0) == Answer(error, True, error)


def test_a_prompt_that_was_changed_is_known_by_its_time_alone_unless_asked_exactly(chat: Chat) -> None:
    chat.prompt("expanded beyond recognition", T0)
    chat.add("gemini", "yes", T0 + 10)
    assert find_answer(chat.path, "short", T0) == Answer("yes", True)
    assert find_answer(chat.path, "short", T0, exact=True) is None
    assert find_answer(chat.path, " expanded beyond recognition", T0, exact=True) == Answer("yes", True)


def test_half_a_line_and_unknown_records_are_passed_over(chat: Chat) -> None:
    chat.write({"id": ["a"], "type": 5})
    chat.prompt("hello", T0)
    chat.add("gemini", "hi", T0 + 10)
    with chat.path.open("a") as file:
        file.write('[1]\nnot json\n{"id": "m')
    assert find_answer(chat.path, "hello", T0) == Answer("hi", True)


def test_logs_are_found_by_the_whole_id_the_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "tmp/project/chats"
    folder.mkdir(parents=True)
    for time, session in (("08-01", SESSION), ("08-02", SESSION[:8] + "-0000"), ("08-03", SESSION)):
        path = folder / f"session-2026-11-25T{time}-{SESSION[:8]}.jsonl"
        path.write_text(json.dumps({"sessionId": session}) + "\n")
    assert [path.name[19:24] for path in find_chats(tmp_path, SESSION)] == ["08-03", "08-01"]
