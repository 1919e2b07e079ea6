"""How Gemini CLI is launched."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from meshd_gemini.kind import GeminiKind

from meshd_core.api import LaunchSpec, Run

KIND = GeminiKind()
LAST = "7a3a19d5-831e-42e0-81fe-8ed1b42bce73"


def spec(folder: Path, **more: Any) -> LaunchSpec:
    fields: dict[str, Any] = {"command": ("gemini",), "args": (), "env": {"HOME": str(folder)}, **more}
    return LaunchSpec(slot="g", node="n", cwd=str(folder), **fields)


def test_a_launch_names_its_session_and_leaves_the_approval_mode_alone(tmp_path: Path) -> None:
    launch = KIND.launch(spec(tmp_path, args=("--model", "m")))
    assert launch.argv[:2] == ("gemini", "--session-id")
    assert launch.argv[3:] == ("--model", "m")
    assert str(uuid.UUID(launch.argv[2])) == launch.meta["session_id"]
    assert launch.meta["gemini_home"] == str(tmp_path / ".gemini")
    assert launch.env == {"GEMINI_CLI_NO_RELAUNCH": "true"}


@pytest.mark.parametrize("args", [("--resume", "latest"), ("-r", "2"), ("--session-id=x",)])
def test_a_session_chosen_by_the_slot_is_left_alone(tmp_path: Path, args: tuple[str, ...]) -> None:
    launch = KIND.launch(spec(tmp_path, args=args))
    assert launch.argv == ("gemini", *args)
    assert "session_id" not in launch.meta


def test_the_slots_environment_wins(tmp_path: Path) -> None:
    env = {"HOME": "/x", "GEMINI_CLI_HOME": "/home/y", "GEMINI_CLI_NO_RELAUNCH": ""}
    launch = KIND.launch(spec(tmp_path, env=env))
    assert launch.env == {}
    assert launch.meta["gemini_home"] == "/home/y/.gemini"


def test_resuming_continues_a_conversation_that_has_a_log_and_else_begins_one(tmp_path: Path) -> None:
    again = spec(tmp_path, resume=True, last_meta={"session_id": LAST})
    assert KIND.launch(again).argv[1] == "--session-id"
    chat = tmp_path / f".gemini/tmp/project/chats/session-2026-11-25T14-08-{LAST[:8]}.jsonl"
    chat.parent.mkdir(parents=True)
    chat.write_text(json.dumps({"sessionId": LAST}) + "\n")
    launch = KIND.launch(again)
    assert launch.argv == ("gemini", "--resume", LAST)
    assert launch.meta["session_id"] == LAST


def test_an_adopted_run_is_resumed_with_the_conversation_that_was_found_out() -> None:
    run = Run("g", 1, 0, "/", {}, {"gemini_home": "/", "session_id": "a"}, {"session_id": "b"})
    assert KIND.session(run).resume_meta() == {"session_id": "b"}


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    package = tmp_path / "node_modules/@google/gemini-cli"
    (package / "bundle").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@google/gemini-cli", "version": "0.61.0"}')
    (package / "bundle/gemini.js").touch(0o755)
    launch = KIND.launch(spec(tmp_path, command=(str(package / "bundle/gemini.js"),)))
    run = Run(slot="g", pid=1, started_at_ms=0, cwd="/", env={}, meta=launch.meta)
    assert KIND.session(run).version() == "0.61.0"
    (package / "package.json").write_text('{"name": "@google/gemini-cli", "version": "0.40.1"}')
    old = KIND.launch(spec(tmp_path, command=(str(package / "bundle/gemini.js"),)))
    assert len(old.argv) == 1  # it does not know --session-id, and would not start
    assert "session_id" not in old.meta
