"""The conversation in Gemini CLI's session log: `data/chat.jsonl` is what 0.61.0 wrote, with long texts cut."""

import asyncio
import json
from pathlib import Path

from meshd_gemini.conversation import conversation
from meshd_gemini.session import GeminiSession

from meshd_core.api import ToolUse

RECORDED = Path(__file__).parent / "data" / "chat.jsonl"
SESSION = "eab2137a-7dbc-4c7a-af8b-06abdeb4c817"
STARTED = 1_795_819_600_000


def test_a_recorded_session_has_all_that_was_said_and_done_once() -> None:
    found = conversation(RECORDED)
    assert found.warning is None
    assert [(one.role, one.text.split("\n")[0][:30]) for one in found.messages] == [
        ("user", "hello one"),
        ("agent", "You said: hello one"),
        ("user", "TOOL touch approved"),
        ("tool", "<untrusted_context>"),
        ("agent", "tool finished: <untrusted_cont"),
        ("user", "TOOL touch never"),
        ("tool", "[Operation Cancelled] Reason: "),
        ("user", "typed by hand"),
        ("agent", "You said: typed by hand"),
        ("user", "SLOW30 int"),
        ("user", "after int"),
        ("agent", "You said: after int"),
        ("user", "SLOW3 a"),
        ("agent", "word1 word2 word3 word4 word5 "),
        ("user", "steered"),
        ("agent", "You said: steered"),
        ("user", "ERR400"),
        ("agent", '[API Error: {"error":{"code":4'),
        ("user", "after resume"),
        ("agent", "You said: after resume"),
    ]
    tools = [one.tool for one in found.messages if one.tool is not None]
    assert tools == [
        ToolUse("run_shell_command", "touch approved", "done"),
        ToolUse("run_shell_command", "touch never", "denied"),
    ]


def test_a_resume_leaves_a_second_log_behind_and_the_one_with_messages_is_read(tmp_path: Path) -> None:
    chats = tmp_path / "tmp" / "project" / "chats"
    chats.mkdir(parents=True)
    lines = RECORDED.read_text().splitlines(keepends=True)
    (chats / "session-2026-11-27T22-46-eab2137a.jsonl").write_text("".join(lines))
    (chats / "session-2026-11-27T22-48-eab2137a.jsonl").write_text("".join(lines[:2]))
    session = GeminiSession(tmp_path, SESSION, None, STARTED)
    found = asyncio.run(session.messages())
    assert found is not None
    assert (len(found.messages), found.warning) == (20, None)
    head = {**json.loads(lines[0]), "sessionId": "8db55a26-c48d-4d75-8f16-d6958fe1d6e4"}
    (chats / "session-2026-11-27T22-47-8db55a26.jsonl").write_text(json.dumps(head) + "\n")
    found = asyncio.run(session.messages())
    assert found is not None
    assert found.warning is not None
    assert "/clear" in found.warning
    assert asyncio.run(GeminiSession(tmp_path, None, None).messages()) is None
