"""The conversation in Codex's session log: `data/rollout.jsonl` is what 0.169.0 wrote, with long texts cut."""

import json
from pathlib import Path
from typing import Any

import pytest
from meshd_codex.conversation import conversation

from meshd_core.api import ToolUse

RECORDED = Path(__file__).parent / "data" / "rollout.jsonl"


def test_a_recorded_session_has_all_that_was_said_and_done() -> None:
    found = conversation(RECORDED)
    assert found.warning is None
    assert [(one.role, one.text.split("\n")[-1][:40]) for one in found.messages] == [
        ("user", "hello one"),
        ("agent", "You said: hello one"),
        ("user", "TOOL touch approved"),
        ("tool", ""),
        ("agent", "Output:"),
        ("user", "TOOL touch never"),
        ("tool", "aborted by user"),
        ("user", "typed by hand"),
        ("agent", "You said: typed by hand"),
        ("user", "SLOW30 int"),
        ("user", "after int"),
        ("agent", "You said: after int"),
        ("user", "SLOW3 a"),
        ("user", "steered"),
        ("agent", "You said: steered"),
        ("user", "ERR400"),
        ("agent", found.messages[-1].text[:40]),
    ]
    assert "400" in found.messages[-1].text
    tools = [one.tool for one in found.messages if one.tool is not None]
    assert tools == [
        ToolUse("exec_command", "touch approved", "done"),
        ToolUse("exec_command", "touch never", "denied"),
    ]
    assert len({one.id for one in found.messages}) == len(found.messages)


def rollout(folder: Path, *payloads: dict[str, Any]) -> Path:
    path = folder / "rollout.jsonl"
    path.write_text("".join(json.dumps({"type": "response_item", "payload": payload}) + "\n" for payload in payloads))
    return path


def called(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments, **more}


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        ("Process exited with code 0\nOutput:\nProcess exited with code 1\n", "done"),
        ("Process exited with code 2\nOutput:\n", "failed"),
        ("exec command rejected by user", "denied"),
        ("the log says: aborted by user", "done"),
        ([{"type": "input_text", "text": "fine"}], "done"),
    ],
)
def test_a_result_without_an_item_is_judged_by_its_words(tmp_path: Path, output: Any, outcome: str) -> None:
    result = {"type": "function_call_output", "call_id": "c", "output": output}
    (message,) = conversation(rollout(tmp_path, called("shell", '{"command": ["bash", "-lc", "ls"]}'), result)).messages
    assert message.tool == ToolUse("shell", "ls", outcome)  # type: ignore[arg-type]


def test_other_tools_show_their_arguments(tmp_path: Path) -> None:
    path = rollout(tmp_path, called("update_plan", '{"plan": [{"step": "one", "done": true}]}'))
    (message,) = conversation(path).messages
    assert message.tool == ToolUse("update_plan", "plan.0.step: one\nplan.0.done: true", "pending")
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin Patch\n..."}
    (message,) = conversation(rollout(tmp_path, custom)).messages
    assert message.tool == ToolUse("apply_patch", "*** Begin Patch\n...", "pending")
