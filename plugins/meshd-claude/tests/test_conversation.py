"""The conversation in Claude Code's session log: `data/session.jsonl` is what 2.1.330 wrote, with long texts cut."""

import json
from pathlib import Path
from typing import Any

import pytest
from meshd_claude.conversation import conversation

from meshd_core.api import NO_LOG, Message, ToolUse

RECORDED = Path(__file__).parent / "data" / "session.jsonl"


def plain(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(one.role, one.text[:40]) for one in messages]


def test_a_recorded_session_has_all_that_was_said_and_done() -> None:
    found = conversation(RECORDED)
    assert found.warning is None
    rejected = "The user doesn't want to proceed with th"
    assert plain(found.messages) == [
        ("user", "hello one"),
        ("agent", "You said: hello one"),
        ("user", "TOOL touch approved"),
        ("tool", "(Bash completed with no output)"),
        ("agent", "tool finished: (Bash completed with no o"),
        ("user", "TOOL touch never"),
        ("tool", rejected),
        ("user", "typed by hand"),
        ("agent", "You said: typed by hand"),
        ("user", "SLOW30 int"),
        ("agent", "word1 word2 word3 word4 word5 word6 word"),
        ("user", "after int"),
        ("agent", "You said: after int"),
        ("user", "SLOW3 a"),
        ("agent", "word1 word2 word3 word4 word5 word6 word"),
        ("user", "steered"),
        ("agent", "You said: steered"),
        ("user", "ERR400"),
        ("agent", "API Error: 400 the fake model answers 40"),
    ]
    tools = [one.tool for one in found.messages if one.tool is not None]
    assert tools == [ToolUse("Bash", "touch approved", "done"), ToolUse("Bash", "touch never", "denied")]
    assert found.messages[0].at == "2026-11-27T22:44:18.454Z"
    assert len({one.id for one in found.messages}) == len(found.messages)


class Session:
    """A log being written, without what nobody reads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.jsonl"
        self._count = 0

    def add(self, parent: str | None, kind: str, content: Any, **fields: Any) -> str:
        self._count += 1
        uuid = f"u{self._count}"
        record = {"type": kind, "uuid": uuid, "parentUuid": parent, "message": {"content": content}, **fields}
        self.line(json.dumps(record))
        return uuid

    def line(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text + "\n")

    def prompt(self, parent: str | None, text: str) -> str:
        return self.add(parent, "user", text, promptSource="typed")

    def says(self, parent: str | None, text: str, **fields: Any) -> str:
        return self.add(parent, "assistant", [{"type": "text", "text": text}], **fields)

    def calls(self, parent: str, call: str, name: str = "Bash", **arguments: Any) -> str:
        return self.add(parent, "assistant", [{"type": "tool_use", "id": call, "name": name, "input": arguments}])

    def result(self, parent: str, call: str, text: str, *, is_error: bool = False, **fields: Any) -> str:
        block = {"type": "tool_result", "tool_use_id": call, "is_error": is_error}
        return self.add(parent, "user", [{**block, "content": [{"type": "text", "text": text}]}], **fields)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_a_prompt_that_was_taken_back_is_left_out_with_what_followed_it(session: Session) -> None:
    first = session.says(session.prompt(None, "first"), "one")
    session.says(session.prompt(first, "taken back"), "not to be seen")
    session.says(session.prompt(first, "instead"), "two")
    assert plain(conversation(session.path).messages) == [
        ("user", "first"), ("agent", "one"), ("user", "instead"), ("agent", "two"),
    ]  # fmt: skip


def test_an_answer_that_is_logged_before_its_prompt_comes_behind_it(session: Session) -> None:
    asked = session.prompt(None, "first")
    session.says(asked, "one")
    lines = session.path.read_text().splitlines(keepends=True)
    session.path.write_text("".join(reversed(lines)))
    assert plain(conversation(session.path).messages) == [("user", "first"), ("agent", "one")]


def test_calls_side_by_side_have_each_their_own_result(session: Session) -> None:
    asked = session.prompt(None, "both")
    one = session.calls(asked, "t1", command="make")
    two = session.calls(one, "t2", "Write", file_path="a.txt", content="x\ny")
    session.result(one, "t1", "no rule", is_error=True)
    session.says(session.result(two, "t2", "written"), "done")
    tools = [(one.tool, one.text) for one in conversation(session.path).messages if one.tool is not None]
    assert tools == [
        (ToolUse("Bash", "make", "failed"), "no rule"),
        (ToolUse("Write", "file_path: a.txt\ncontent: x\ny", "done"), "written"),
    ]


def test_subagents_and_what_the_program_says_itself_are_left_out(session: Session) -> None:
    asked = session.prompt(None, "go")
    session.says(asked, "from a subagent", isSidechain=True)
    session.add(asked, "user", "<command-name>/clear</command-name>")
    session.says(asked, "gone")
    assert plain(conversation(session.path).messages) == [("user", "go"), ("agent", "gone")]


def test_a_compacted_conversation_keeps_what_was_said_before(session: Session) -> None:
    last = session.says(session.prompt(None, "before"), "one")
    border = session.add(None, "system", "", subtype="compact_boundary", logicalParentUuid=last)
    session.says(session.prompt(border, "after"), "two")
    assert [text for _, text in plain(conversation(session.path).messages)] == ["before", "one", "after", "two"]


def test_of_a_broken_log_there_is_what_can_be_read_and_a_warning(session: Session) -> None:
    asked = session.prompt(None, "go")
    session.line('{"type": "user", "uuid":')
    session.line('{"type": "user", "uuid": 7}')
    session.line("\x00\xff not even text")
    session.says(asked, "gone")
    with session.path.open("a") as file:
        file.write('{"type": "assistant", "uuid": "being wri')
    found = conversation(session.path)
    assert plain(found.messages) == [("user", "go"), ("agent", "gone")]
    assert found.warning == "3 records of the agent's session log could not be read"


def test_a_log_that_is_not_there_is_told_and_one_that_cannot_be_read_raises(tmp_path: Path) -> None:
    assert conversation(None).warning == NO_LOG
    with pytest.raises(OSError):
        conversation(tmp_path)
