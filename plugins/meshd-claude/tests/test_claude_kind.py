"""How Claude Code is launched, and what its status file says."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from meshd_claude.kind import ClaudeKind
from meshd_claude.session import ClaudeSession

from meshd_core.api import LaunchSpec, Observation, Pace, Run

KIND = ClaudeKind()
STARTED_MS = 1_795_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spec(folder: Path, **more: object) -> LaunchSpec:
    fields: dict[str, object] = {"command": ("claude",), "args": (), "env": {"CLAUDE_CONFIG_DIR": str(folder)}, **more}
    return LaunchSpec(slot="c", node="n", cwd=str(folder), **fields)  # type: ignore[arg-type]


def test_a_launch_names_its_session_and_leaves_the_permission_mode_alone(tmp_path: Path) -> None:
    launch = KIND.launch(spec(tmp_path, args=("--model", "opus")))
    assert launch.argv[:2] == ("claude", "--session-id")
    assert launch.argv[3:] == ("--model", "opus")
    assert str(uuid.UUID(launch.argv[2])) == launch.meta["session_id"]
    assert launch.meta["config_dir"] == str(tmp_path)
    assert launch.env["DISABLE_AUTOUPDATER"] == "1"


@pytest.mark.parametrize("args", [("--resume", "x"), ("-c",), ("--session-id=x",)])
def test_a_session_chosen_by_the_slot_is_left_alone(tmp_path: Path, args: tuple[str, ...]) -> None:
    launch = KIND.launch(spec(tmp_path, args=args))
    assert launch.argv == ("claude", *args)
    assert "session_id" not in launch.meta


def test_the_slots_environment_wins(tmp_path: Path) -> None:
    env = {"HOME": "/home/x", "DISABLE_AUTOUPDATER": "0"}
    launch = KIND.launch(spec(tmp_path, env=env))
    assert "DISABLE_AUTOUPDATER" not in launch.env
    assert launch.meta["config_dir"] == "/home/x/.claude"


def test_resuming_continues_a_conversation_that_has_a_log_and_else_begins_one(tmp_path: Path) -> None:
    again = spec(tmp_path, resume=True, last_meta={"session_id": "abc"})
    assert KIND.launch(again).argv[1] == "--session-id"
    log = tmp_path / "projects" / "p" / "abc.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    launch = KIND.launch(again)
    assert launch.argv == ("claude", "--resume", "abc")
    assert launch.meta["session_id"] == "abc"
    unused = spec(tmp_path, resume=True, last_meta={"session_id": "def"}, earlier_meta=({"session_id": "abc"},))
    assert KIND.launch(unused).argv == ("claude", "--resume", "abc")


def test_an_adopted_run_is_resumed_with_the_conversation_that_was_found_out() -> None:
    run = Run("c", 1, 0, "/", {}, {"config_dir": "/", "session_id": "a"}, {"session_id": "b"})
    assert KIND.session(run).resume_meta() == {"session_id": "b"}


def test_a_run_without_our_facts_has_no_channels() -> None:
    run = Run(slot="c", pid=1, started_at_ms=0, cwd="/", env={}, meta={})
    assert not isinstance(KIND.session(run), ClaudeSession)


class Watched:
    """A session that watches a status file, and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sessions" / "77.json"
        self.path.parent.mkdir()
        self.seen: list[Observation] = []
        self.session = ClaudeSession(77, STARTED_MS, folder, "abc")

    def write(self, **fields: object) -> None:
        partial = self.path.with_suffix(".new")
        partial.write_text(json.dumps({"pid": 77, "sessionId": "abc", "startedAt": STARTED_MS + 900, **fields}))
        os.replace(partial, self.path)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_each_change_of_the_status_file_is_reported(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    for status in ("idle", "busy", "idle"):
        count = len(watched.seen)
        watched.write(status=status, version="2.1.330")
        await watched.until(lambda count=count: len(watched.seen) > count)  # type: ignore[misc]
    watched.path.write_text('{"status": "bu')
    watched.write(status="waiting", waitingFor="dialog open")
    await watched.until(lambda: watched.seen[-1].state == "waiting")
    task.cancel()
    assert [one.state for one in watched.seen] == ["idle", "busy", "idle", "waiting"]
    assert watched.seen[-1].dialog_kind == "menu"
    assert watched.session.version() == "2.1.330"


@pytest.mark.anyio
async def test_in_the_terminals_silence_the_file_is_looked_at_when_it_moves(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.session._pace = Pace(often_s=1000.0, seldom_s=1000.0, calm_after_s=0.0)
    watched.write(status="idle")
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    await watched.until(lambda: len(watched.seen) == 1)
    watched.write(status="busy")
    await asyncio.sleep(0.05)
    assert len(watched.seen) == 1
    watched.session.terminal_moved()
    await watched.until(lambda: watched.seen[-1].state == "busy")
    task.cancel()


@pytest.mark.anyio
async def test_a_file_of_an_older_process_with_the_same_pid_says_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.write(status="busy", startedAt=STARTED_MS - 3_600_000)
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    await asyncio.sleep(0)
    watched.write(status="idle")
    await watched.until(lambda: bool(watched.seen))
    task.cancel()
    assert [one.state for one in watched.seen] == ["idle"]


@pytest.mark.anyio
async def test_a_call_that_is_logged_late_is_told_all_the_same(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    watched.write(status="waiting", waitingFor="permission prompt")
    await watched.until(lambda: bool(watched.seen))
    assert (watched.seen[-1].state, watched.seen[-1].command) == ("waiting", None)
    block = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "touch x"}}
    record = {"type": "assistant", "uuid": "u1", "message": {"content": [block], "stop_reason": "tool_use"}}
    log = tmp_path / "projects" / "p" / "abc.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(record) + "\n")
    await watched.until(lambda: watched.seen[-1].command == "touch x")
    watched.write(status="idle")
    await watched.until(lambda: watched.seen[-1].state == "idle")
    task.cancel()
