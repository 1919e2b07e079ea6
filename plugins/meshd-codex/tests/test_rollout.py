"""Codex's session log: the answer to a prompt, the commands without a result, whatever stands around them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from meshd_codex.rollout import Payload, Work, command_of, decoder, find_answer, find_rollout, read_head, turn_began

from meshd_core.api import Answer, decode_lines

T0 = 1_795_000_000_000


class Rollout:
    """A log being written, its records as 0.169.0 writes them, without what nobody reads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rollout.jsonl"
        self.path.touch()

    def add(self, kind: str, at_ms: int, **payload: Any) -> None:
        stamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self.path.open("a") as file:
            file.write(json.dumps({"timestamp": stamp, "ordinal": 1, "type": kind, "payload": payload}) + "\n")

    def event(self, kind: str, turn: str, at_ms: int, **more: Any) -> None:
        self.add("event_msg", at_ms, type=kind, turn_id=turn, **more)

    def item(self, kind: str, text: str, turn: str, at_ms: int) -> None:
        part = {"type": "text" if kind == "UserMessage" else "Text", "text": text}
        self.event("item_completed", turn, at_ms, item={"type": kind, "id": "i", "content": [part]})
        role = "user" if kind == "UserMessage" else "assistant"
        content = [{"type": "input_text", "text": text}]
        self.add("response_item", at_ms, type="message", role=role, content=content)

    def prompt(self, text: str, turn: str, at_ms: int) -> None:
        self.event("task_started", turn, at_ms, started_at=at_ms // 1000)
        self.item("UserMessage", text, turn, at_ms + 10)

    def call(self, command: str, at_ms: int, call: str = "call_1") -> None:
        arguments = json.dumps({"cmd": command, "sandbox_permissions": "require_escalated"})
        self.add(
            "response_item", at_ms, type="function_call", name="exec_command", arguments=arguments, call_id=call
        )  # fmt: skip

    def output(self, at_ms: int, call: str = "call_1") -> None:
        self.add("response_item", at_ms, type="function_call_output", call_id=call, output="ok")

    def work(self) -> Work:
        work = Work()
        work.take(decode_lines(self.path.read_bytes().split(b"\n"), decoder))
        return work


@pytest.fixture
def log(tmp_path: Path) -> Rollout:
    return Rollout(tmp_path)


def test_the_answer_is_what_was_said_after_the_prompt_until_its_turn_ends(log: Rollout) -> None:
    log.prompt("hello", "t1", T0)
    assert find_answer(log.path, "hello", T0) == Answer("", False)
    log.item("AgentMessage", "First.", "t1", T0 + 20)
    log.call("touch x", T0 + 30)
    assert find_answer(log.path, "hello", T0) == Answer("First.", False)
    log.output(T0 + 40)
    log.item("AgentMessage", "Hello!\n\n- one\n", "t1", T0 + 50)
    log.event("task_complete", "t1", T0 + 60, last_agent_message="Hello!\n\n- one\n")
    assert find_answer(log.path, "hello", T0) == Answer("First.\n\nHello!\n\n- one", True)


def test_the_turn_before_is_never_taken_for_the_answer(log: Rollout) -> None:
    log.prompt("same", "t1", T0)
    log.item("AgentMessage", "the first", "t1", T0 + 20)
    log.event("task_complete", "t1", T0 + 30, last_agent_message="the first")
    assert find_answer(log.path, "same", T0 + 200) is None
    log.prompt("same", "t2", T0 + 210)
    log.item("AgentMessage", "the second", "t2", T0 + 230)
    log.event("task_complete", "t2", T0 + 240, last_agent_message="the second")
    assert find_answer(log.path, "same", T0 + 200) == Answer("the second", True)


def test_a_turn_that_failed_is_answered_with_its_error(log: Rollout) -> None:
    log.prompt("hello", "t1", T0)
    message = "exceeded retry limit, last status: 429 Too Many Requests"
    info = {"response_too_many_failed_attempts": {"http_status_code": 429}}
    error = {"message": message, "codex_error_info": info}
    log.event("task_complete", "t1", T0 + 30, last_agent_message=None, error=error)
    assert find_answer(log.path, "hello", T0) == Answer(message, True, message)


def test_an_interrupted_turn_ends_with_what_was_said(log: Rollout) -> None:
    log.prompt("long", "t1", T0)
    log.item("AgentMessage", "Let me see.", "t1", T0 + 10)
    log.event("turn_aborted", "t1", T0 + 20, reason="interrupted")
    assert find_answer(log.path, "long", T0) == Answer("Let me see.", True)


def test_a_prompt_that_steers_is_answered_in_the_same_turn(log: Rollout) -> None:
    log.prompt("first", "t1", T0)
    log.item("AgentMessage", "one", "t1", T0 + 20)
    log.item("UserMessage", "second", "t1", T0 + 30)
    log.item("AgentMessage", "two", "t1", T0 + 40)
    log.event("task_complete", "t1", T0 + 50, last_agent_message="two")
    assert find_answer(log.path, "second", T0 + 25) == Answer("two", True)


def test_a_prompt_that_codex_changed_is_known_by_its_time_alone_unless_asked_exactly(log: Rollout) -> None:
    log.prompt("expanded beyond recognition", "t1", T0)
    log.item("AgentMessage", "yes", "t1", T0 + 20)
    assert find_answer(log.path, "/short", T0) == Answer("yes", False)
    assert find_answer(log.path, "/short", T0, exact=True) is None
    assert find_answer(log.path, "  expanded beyond\trecognition ", T0, exact=True) == Answer("yes", False)


def test_a_turn_that_began_since_enter_is_told_from_the_one_before(log: Rollout) -> None:
    log.prompt("before", "t1", T0)
    log.event("task_complete", "t1", T0 + 50)
    assert turn_began(log.path, T0)
    assert not turn_began(log.path, T0 + 1000)  # /new, /clear: nothing comes
    log.event("task_started", "t2", T0 + 1100)  # /compact: a turn without a prompt
    assert turn_began(log.path, T0 + 1000)


def test_half_a_line_and_unknown_records_are_passed_over(log: Rollout) -> None:
    log.add("novelty", T0, type=["a", "list"])
    log.add("event_msg", T0, type="item_completed", item="text", turn_id="t1")
    log.prompt("hello", "t1", T0)
    log.item("AgentMessage", "hi", "t1", T0 + 20)
    with log.path.open("a") as file:
        file.write('[1, 2]\nnot json\n{"type": "event_m')
    assert find_answer(log.path, "hello", T0) == Answer("hi", False)


def test_the_beginning_of_a_large_log_is_not_read_for_a_new_prompt(log: Rollout) -> None:
    log.prompt("old", "t1", T0)
    for number in range(30):
        log.item("AgentMessage", "x" * 100_000, "t1", T0 + number)
    log.prompt("new", "t2", T0 + 5000)
    log.item("AgentMessage", "y", "t2", T0 + 5020)
    assert find_answer(log.path, "new", T0 + 5000) == Answer("y", False)
    assert find_answer(log.path, "old", T0) is not None


def test_the_command_is_the_one_without_a_result(log: Rollout) -> None:
    assert (log.work().seen, log.work().call) == (False, (None, None))
    log.prompt("do it", "t1", T0)
    log.call("touch a", T0 + 1, "c1")
    assert (log.work().turn, log.work().call) == ("t1", ("c1", "touch a"))
    log.call("touch b", T0 + 2, "c2")
    assert log.work().call == (None, None)  # which of the two is asked for, no record tells
    log.output(T0 + 3, "c1")
    assert log.work().call == ("c2", "touch b")
    log.event("turn_aborted", "t1", T0 + 4, reason="interrupted")
    assert (log.work().seen, log.work().turn, log.work().call) == (True, None, (None, None))


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (Payload(name="exec_command", arguments='{"cmd": "ls -l"}'), "ls -l"),
        (Payload(name="shell", arguments='{"command": ["bash", "-lc", "ls | wc"]}'), "ls | wc"),
        (Payload(name="shell", arguments='{"command": ["rm", "-r", "x"]}'), "rm -r x"),
        (Payload(name="apply_patch", input="*** Begin Patch"), "apply_patch *** Begin Patch"),
        (Payload(name="view_image", arguments='{"path": "a.png"}'), "view_image path: a.png"),
        (Payload(name="mcp", arguments='{"a": "say \\"x\\"\\ny"}'), 'mcp a: say "x"\ny'),
        (Payload(name="odd", arguments="{not json"), "odd {not json"),
    ],
)
def test_each_tools_call_says_what_it_runs(call: Payload, command: str) -> None:
    assert command_of(call) == command


def test_a_subagents_log_is_told_from_a_persons(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    assert read_head(path) is None
    path.write_text(json.dumps({"type": "session_meta", "payload": {"id": "x", "cli_version": "0.169.0"}}) + "\n")
    head = read_head(path)
    assert head is not None
    assert (head.is_users, head.payload.cli_version) == (True, "0.169.0")
    path.write_text(json.dumps({"type": "session_meta", "payload": {"thread_source": "subagent"}}) + "\n")
    head = read_head(path)
    assert head is not None
    assert not head.is_users


def test_a_rollout_is_found_by_its_thread(tmp_path: Path) -> None:
    folder = tmp_path / "sessions/2026/11/25"
    folder.mkdir(parents=True)
    assert find_rollout(tmp_path, "abc") is None
    (folder / "rollout-2026-11-25T14-04-12-abc.jsonl").touch()
    assert find_rollout(tmp_path, "abc") == folder / "rollout-2026-11-25T14-04-12-abc.jsonl"
