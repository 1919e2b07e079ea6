"""Claude Code's session log: the answer to a prompt is found whatever stands around it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from meshd_claude.log import Answer, ToolCall, find_answer, find_log, pending_call

T0 = 1_795_000_000_000


class LogFile:
    """A session log being written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.jsonl"
        self.path.touch()
        self._last: str | None = None
        self._count = 0

    def add(self, kind: str, at_ms: int, **fields: Any) -> str:
        self._count += 1
        uuid = f"u{self._count}"
        stamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"type": kind, "uuid": uuid, "parentUuid": self._last, "isSidechain": False, "timestamp": stamp}
        with self.path.open("a") as file:
            file.write(json.dumps({**record, **fields}) + "\n")
        self._last = uuid
        return uuid

    def prompt(self, text: str, at_ms: int, source: str = "typed", **fields: Any) -> str:
        return self.add("user", at_ms, message={"role": "user", "content": text}, promptSource=source, **fields)

    def says(self, text: str, at_ms: int, stop_reason: str | None = "end_turn") -> str:
        content = [{"type": "text", "text": text}]
        return self.add("assistant", at_ms, message={"content": content, "stop_reason": stop_reason})

    def calls(self, command: str, at_ms: int, call: str = "toolu_1") -> str:
        block = {"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}
        return self.add("assistant", at_ms, message={"content": [block], "stop_reason": "tool_use"})

    def result(self, at_ms: int, call: str = "toolu_1") -> str:
        block = {"type": "tool_result", "tool_use_id": call, "content": "ok"}
        return self.add("user", at_ms, message={"content": [block]})


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path)


def test_the_answer_is_the_text_under_the_prompt(log: LogFile) -> None:
    log.prompt("hello", T0)
    log.add("attachment", T0, attachment={"type": "environment"})
    log.says("Hello!\n\n- one\n", T0 + 100)
    log.add("system", T0 + 110, subtype="turn_duration")
    assert find_answer(log.path, "hello", T0 - 50) == Answer("Hello!\n\n- one", True)


def test_all_text_of_a_turn_with_tools_is_the_answer_and_it_ends_with_the_last(log: LogFile) -> None:
    log.prompt("do it", T0)
    log.says("First.", T0 + 10, None)
    log.calls("touch x", T0 + 20)
    assert find_answer(log.path, "do it", T0) == Answer("First.", False)
    log.result(T0 + 30)
    log.says("Done.", T0 + 40)
    assert find_answer(log.path, "do it", T0) == Answer("First.\n\nDone.", True)


def test_a_turn_that_failed_says_so_and_one_that_went_on_after_an_error_did_not(log: LogFile) -> None:
    log.prompt("do it", T0)
    words = "API Error: 400 the fake model answers 400"
    message = {"content": [{"type": "text", "text": words}], "stop_reason": "stop_sequence"}
    log.add("assistant", T0 + 10, message=message, isApiErrorMessage=True, apiErrorStatus=400)
    assert find_answer(log.path, "do it", T0) == Answer(words, True, words)
    log.says("Done.", T0 + 40)
    assert find_answer(log.path, "do it", T0) == Answer(f"{words}\n\nDone.", True)


def test_the_turn_before_is_never_taken_for_the_answer(log: LogFile) -> None:
    log.prompt("same", T0)
    log.says("the first", T0 + 50)
    assert find_answer(log.path, "same", T0 + 200) is None
    log.prompt("same", T0 + 210)
    log.says("the second", T0 + 250)
    assert find_answer(log.path, "same", T0 + 200) == Answer("the second", True)
    assert find_answer(log.path, "same", T0 + 1000) is None


def test_a_wrapped_paste_is_still_our_prompt(log: LogFile) -> None:
    log.prompt('\n\n<pasted_content id="e2">\nrow 1\n    row 2\n</pasted_content id="e2">\n', T0)
    log.says("rows", T0 + 10)
    assert find_answer(log.path, "row 1\n\trow 2 ", T0, exact=True) == Answer("rows", True)
    assert find_answer(log.path, "row 1", T0, exact=True) is None
    assert find_answer(log.path, "row 1", T0) == Answer("rows", True)


def test_prompts_queued_while_it_worked_have_their_own_answers(log: LogFile) -> None:
    log.prompt("first", T0)
    log.says("one", T0 + 10)
    log.prompt("second", T0 + 20, "queued")
    log.says("two", T0 + 30)
    assert find_answer(log.path, "first", T0) == Answer("one", True)
    assert find_answer(log.path, "second", T0 + 5) == Answer("two", True)


def test_an_interrupted_turn_ends_with_what_was_said(log: LogFile) -> None:
    log.prompt("long", T0)
    log.says("word1 word2", T0 + 10, None)
    log.add("user", T0 + 20, message={"content": [{"type": "text", "text": "[Request interrupted by user]"}]})
    assert find_answer(log.path, "long", T0) == Answer("word1 word2", True)


def test_a_subagents_words_are_not_the_answer(log: LogFile) -> None:
    log.prompt("ask", T0)
    log.add(
        "assistant",
        T0 + 5,
        isSidechain=True,
        message={"content": [{"type": "text", "text": "inner"}], "stop_reason": "end_turn"},
    )
    log.says("outer", T0 + 10)
    assert find_answer(log.path, "ask", T0) == Answer("outer", True)


def test_half_a_line_and_unknown_records_are_passed_over(log: LogFile) -> None:
    log.add("novelty", T0, message=["a", "list"])
    log.prompt("hello", T0)
    log.says("hi", T0 + 10)
    with log.path.open("a") as file:
        file.write('[1, 2]\nnot json\n{"type": "assist')
    assert find_answer(log.path, "hello", T0) == Answer("hi", True)


def test_the_beginning_of_a_large_log_is_not_read_for_a_new_prompt(log: LogFile) -> None:
    log.prompt("old", T0)
    for number in range(40):
        log.says("x" * 100_000, T0 + number)
    log.prompt("new", T0 + 5000)
    log.says("y", T0 + 5001)
    assert find_answer(log.path, "new", T0 + 4999) == Answer("y", True)
    assert find_answer(log.path, "old", T0) is not None


def test_the_pending_call_is_the_one_without_a_result(log: LogFile) -> None:
    log.prompt("do it", T0)
    log.calls("touch a", T0 + 1, "toolu_1")
    assert pending_call(log.path) == ToolCall("Bash", "touch a", "toolu_1")
    log.result(T0 + 2, "toolu_1")
    assert pending_call(log.path) is None
    log.calls("touch b", T0 + 3, "toolu_2")
    assert pending_call(log.path) == ToolCall("Bash", "touch b", "toolu_2")


def test_records_that_stand_before_what_they_follow_are_read_in_their_order(log: LogFile) -> None:
    log.prompt("before", T0 - 500)
    log.says("that was before", T0 - 400)
    log.prompt("do it", T0)
    log.add("attachment", T0)
    log.calls("touch a", T0 + 1)
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text("".join([*lines[:2], lines[4], *lines[2:4]]))
    assert pending_call(log.path) == ToolCall("Bash", "touch a", "toolu_1")
    assert find_answer(log.path, "do it", T0) == Answer("", False)
    log.result(T0 + 2)
    log.says("done", T0 + 3)
    assert pending_call(log.path) is None
    assert find_answer(log.path, "do it", T0) == Answer("done", True)
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text("".join(reversed(lines)))
    assert find_answer(log.path, "do it", T0) == Answer("done", True)
    assert find_answer(log.path, "before", T0 - 500) == Answer("that was before", True)


def test_records_that_follow_each_other_in_a_circle_are_left_out(log: LogFile) -> None:
    log.add("user", T0, uuid="a", parentUuid="b")
    log.add("user", T0, uuid="b", parentUuid="a")
    log.add("user", T0, uuid="c", parentUuid="c")
    log.prompt("hello", T0, parentUuid=None)
    log.says("hi", T0 + 10)
    assert find_answer(log.path, "hello", T0) == Answer("hi", True)


def test_of_calls_side_by_side_none_is_taken_for_the_one_that_is_asked_for(log: LogFile) -> None:
    log.prompt("do both", T0)
    log.calls("touch a", T0 + 1, "toolu_1")
    log.calls("rm -r b", T0 + 2, "toolu_2")
    assert pending_call(log.path) is None
    log.result(T0 + 3, "toolu_1")
    assert pending_call(log.path) == ToolCall("Bash", "rm -r b", "toolu_2")


def test_a_call_says_what_it_wants_without_escapes(log: LogFile) -> None:
    log.prompt("write it", T0)
    block = {"type": "tool_use", "id": "t", "name": "Write", "input": {"path": "a", "content": 'key="x\ny"'}}
    log.add("assistant", T0 + 1, message={"content": [block], "stop_reason": "tool_use"})
    assert pending_call(log.path) == ToolCall("Write", 'path: a\ncontent: key="x\ny"', "t")


def test_the_log_is_found_whatever_its_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "-any-name"
    folder.mkdir(parents=True)
    assert find_log(tmp_path, "abc") is None
    (folder / "abc.jsonl").touch()
    assert find_log(tmp_path, "abc") == folder / "abc.jsonl"
