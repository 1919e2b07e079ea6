"""How Codex is launched, and what its session finds among the files that a process holds open."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from meshd_codex.kind import CodexKind
from meshd_codex.session import CodexSession

from meshd_core.api import Follower, LaunchSpec, Observation, Pace, Run, Turn

KIND = CodexKind()
THREAD = "01a21305-6b6d-73d2-bee4-5afd8c9e24d6"
LATER = "01a21309-405f-7150-8e32-aca01c274e27"
NEEDS_PROC = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are found in /proc")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spec(folder: Path, **more: Any) -> LaunchSpec:
    fields: dict[str, Any] = {"command": ("codex",), "args": (), "env": {"CODEX_HOME": str(folder)}, **more}
    return LaunchSpec(slot="c", node="n", cwd=str(folder), **fields)


def rollout(folder: Path, thread: str = THREAD, **meta: Any) -> Path:
    path = folder / f"sessions/2026/11/25/rollout-2026-11-25T14-04-12-{thread}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"id": thread, "cli_version": "0.169.0", "thread_source": "user", **meta}
    path.write_text(json.dumps({"type": "session_meta", "payload": head}) + "\n")
    return path


def add(path: Path, kind: str, **payload: Any) -> None:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    with path.open("a") as file:
        file.write(json.dumps({"timestamp": stamp, "type": kind, "payload": payload}) + "\n")


def test_a_launch_starts_no_daemon_and_leaves_approvals_and_sandbox_alone(tmp_path: Path) -> None:
    launch = KIND.launch(spec(tmp_path, args=("--model", "m")))
    assert launch.argv[:2] == ("codex", "--no-daemon")
    assert launch.argv[-2:] == ("--model", "m")
    assert not {"-a", "-s", "--ask-for-approval", "--sandbox"} & set(launch.argv)
    assert not any("approval" in one or "sandbox" in one for one in launch.argv)
    assert launch.meta["codex_home"] == str(tmp_path)


def test_the_slots_own_settings_win(tmp_path: Path) -> None:
    given = ("--no-daemon", "-c", "check_for_update_on_startup=true", "--config=tui.alternate_screen=always")
    launch = KIND.launch(spec(tmp_path, args=given, env={"HOME": "/home/x"}))
    own = ("-c", "notice.hide_rate_limit_model_nudge=true", "-c", "tui.show_tooltips=false")
    assert launch.argv == ("codex", *own, *given)
    assert launch.meta["codex_home"] == "/home/x/.codex"


def test_resuming_continues_a_conversation_that_has_a_log_and_else_begins_one(tmp_path: Path) -> None:
    again = spec(tmp_path, resume=True, last_meta={"thread": THREAD})
    assert "resume" not in KIND.launch(again).argv
    rollout(tmp_path)
    launch = KIND.launch(again)
    assert launch.argv[-2:] == ("resume", THREAD)
    assert launch.meta["thread"] == THREAD
    chosen = KIND.launch(spec(tmp_path, resume=True, last_meta={"thread": THREAD}, args=("resume", "--last")))
    assert chosen.argv[-2:] == ("resume", "--last")


def test_the_version_is_known_from_the_package_that_the_program_belongs_to(tmp_path: Path) -> None:
    package = tmp_path / "node_modules/@openai/codex"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@openai/codex", "version": "0.200.1"}')
    program = package / "bin/codex.js"
    program.touch(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/codex").symlink_to(program)
    env = {"CODEX_HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    launch = KIND.launch(spec(tmp_path, env=env))
    session = KIND.session(Run(slot="c", pid=1, started_at_ms=0, cwd="/", env={}, meta=launch.meta))
    assert session.version() == "0.200.1"
    assert "--no-daemon" in launch.argv
    (package / "package.json").write_text('{"name": "@openai/codex", "version": "0.155.1"}')
    assert "--no-daemon" not in KIND.launch(spec(tmp_path, env=env)).argv  # which does not know it, and would not start
    (package / "package.json").write_text('{"name": "another", "version": "1"}')
    assert "version" not in KIND.launch(spec(tmp_path, env=env)).meta


def test_an_adopted_run_is_resumed_with_the_conversation_that_was_found_out() -> None:
    run = Run("c", 1, 0, "/", {}, {"codex_home": "/", "thread": "a"}, {"thread": "b"})
    assert KIND.session(run).resume_meta() == {"thread": "b"}


def test_a_run_without_our_facts_has_no_channels() -> None:
    run = Run(slot="c", pid=1, started_at_ms=0, cwd="/", env={}, meta={})
    assert not isinstance(KIND.session(run), CodexSession)


class Watched:
    """A session on this very process, and what it reported."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.session = CodexSession(os.getpid(), 0, None, None)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.mark.anyio
@NEEDS_PROC
async def test_the_open_log_tells_the_turn_the_command_the_thread_and_the_reply(tmp_path: Path) -> None:
    watched = Watched()
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    path = rollout(tmp_path)
    subagents = rollout(tmp_path, LATER, thread_source="subagent")
    with path.open(), subagents.open():
        add(path, "event_msg", type="task_started", turn_id="t1")
        await watched.until(lambda: [one.state for one in watched.seen] == ["busy"])
        add(path, "response_item", type="function_call", name="exec_command", arguments='{"cmd": "ls"}', call_id="c")
        await watched.until(lambda: watched.seen[-1].command == "ls")
        item = {"type": "UserMessage", "content": [{"type": "text", "text": "list it"}]}
        add(path, "event_msg", type="item_completed", turn_id="t1", item=item)
        add(path, "event_msg", type="task_complete", turn_id="t1", last_agent_message="a b")
        await watched.until(lambda: watched.seen[-1].state == "idle")
        assert watched.seen[-1].command is None
        turn = Turn(prompt="list it", entered_at_ms=0)
        assert await watched.session.finished(turn)
        assert await watched.session.reply(turn) == "a b"
    task.cancel()
    assert watched.session.version() == "0.169.0"
    assert watched.session.resume_meta() == {"thread": THREAD}


@pytest.mark.anyio
@NEEDS_PROC
async def test_in_the_terminals_silence_the_log_is_read_when_it_moves(tmp_path: Path) -> None:
    watched = Watched()
    watched.session._pace = Pace(often_s=1000.0, seldom_s=1000.0, calm_after_s=0.0)
    path = rollout(tmp_path)
    with path.open():
        add(path, "event_msg", type="task_started", turn_id="t1")
        task = asyncio.create_task(watched.session.watch(watched.seen.append))
        await watched.until(lambda: len(watched.seen) == 1)
        add(path, "event_msg", type="task_complete", turn_id="t1", last_agent_message="")
        await asyncio.sleep(0.05)
        assert len(watched.seen) == 1
        watched.session.terminal_moved()
        await watched.until(lambda: watched.seen[-1].state == "idle")
    task.cancel()


@pytest.mark.anyio
@NEEDS_PROC
async def test_the_newest_of_two_open_logs_counts(tmp_path: Path) -> None:
    watched = Watched()
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    old = rollout(tmp_path)
    with old.open():
        add(old, "event_msg", type="task_started", turn_id="t1")
        await watched.until(lambda: len(watched.seen) == 1)
        new = rollout(tmp_path, LATER)
        with new.open():
            add(new, "event_msg", type="task_complete", turn_id="t2", last_agent_message="")
            await watched.until(lambda: watched.seen[-1].state == "idle")
    task.cancel()
    assert watched.session.resume_meta() == {"thread": LATER}


@pytest.mark.anyio
@NEEDS_PROC
async def test_a_turn_that_an_earlier_run_left_open_says_nothing_of_this_one(tmp_path: Path) -> None:
    watched = Watched()
    path = rollout(tmp_path)
    with path.open("a") as file:
        record = {"timestamp": "2020-01-01T00:00:00Z", "type": "event_msg", "payload": {"type": "task_started"}}
        file.write(json.dumps(record) + "\n")
    watched.session = CodexSession(os.getpid(), 1_700_000_000_000, None, None)
    task = asyncio.create_task(watched.session.watch(watched.seen.append))
    with path.open():
        await watched.until(lambda: watched.session.version() is not None)
        add(path, "event_msg", type="task_started", turn_id="t2")
        await watched.until(lambda: bool(watched.seen))
    task.cancel()
    assert [one.matched for one in watched.seen] == ["task_started turn_id=t2"]


class SlowFollower(Follower):
    """Reads, and gives what it read only once it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.has_read, self.may_go_on = threading.Event(), threading.Event()

    def read(self) -> list[bytes]:
        lines = super().read()
        self.has_read.set()
        assert self.may_go_on.wait(20)
        return lines


@NEEDS_PROC
def test_what_one_thread_still_reads_of_the_old_log_is_no_work_of_the_log_that_another_takes_up(tmp_path: Path) -> None:
    session = CodexSession(os.getpid(), 0, None, None)
    old = rollout(tmp_path)
    add(old, "event_msg", type="task_started", turn_id="t1")
    slow = session._log = SlowFollower(old)
    reading = threading.Thread(target=session._read_on)
    reading.start()
    assert slow.has_read.wait(20)
    new = rollout(tmp_path, LATER)
    with new.open():
        searching = threading.Thread(target=session._search)
        searching.start()
        searching.join(0.5)
        slow.may_go_on.set()
        reading.join(20)
        searching.join(20)
    assert session.resume_meta() == {"thread": LATER}
    assert session._observation() is None


@pytest.mark.anyio
@NEEDS_PROC
async def test_whether_a_turn_began_is_not_known_where_its_files_are_not_seen_or_read(tmp_path: Path) -> None:
    session = CodexSession(os.getpid(), 0, None, None, tmp_path)
    turn = Turn(prompt="/new", entered_at_ms=0)
    assert await session.began(turn) is None  # as another user's process, or one in a container
    state = tmp_path / "state.sqlite"
    state.touch()
    with state.open():
        assert await session.began(turn) is False  # it is there, and no conversation has a log yet
        path = rollout(tmp_path)
        with path.open():
            assert await session.began(turn) is False
            path.unlink()
            assert await session.began(turn) is None
