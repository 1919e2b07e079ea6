"""`api` of a slot: its agent gets a token of that scope, which lives no longer than the agent and is in no file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshd_core.testing.daemon import DaemonProcess
from tests.daemon.test_lifecycle import generic
from tests.daemon.test_reload import changes, detail, slot

AGENT = """
import os, subprocess, sys
print("scope", "MESHD_TOKEN" in os.environ, os.environ.get("MESHD_URL", "-"), flush=True)
open(sys.argv[1], "w").write(os.environ.get("MESHD_TOKEN", ""))
for line in sys.stdin:
    words = line.split()
    done = subprocess.run([sys.executable, "-m", "meshd_core.cli", *words], capture_output=True, text=True)
    print("exit", done.returncode, *(done.stdout + done.stderr).split(), flush=True)
"""


def driver(short_tmp: Path, api: str) -> str:
    (short_tmp / "agent.py").write_text(AGENT)
    return generic(
        "driver", sys.executable, str(short_tmp / "agent.py"), str(short_tmp / "token.txt"),
        api=f'"{api}"', options="{ quiet_s = 0.1 }", cols="400",
    ) + slot()  # fmt: skip


def said(daemon: DaemonProcess, eventually: Callable[..., None], command: str) -> str:
    """What the agent's own command told it."""
    before = len([line for line in daemon.lines("driver") if line.startswith("exit")])
    daemon.inject("driver", command, until="written")

    def answers() -> list[str]:
        return [line for line in daemon.lines("driver") if line.startswith("exit")]

    eventually(lambda: len(answers()) > before, 30)
    return answers()[-1]


def status(daemon: DaemonProcess, token: str, method: str, path: str, body: object = None) -> int:
    return daemon.exchange(method, path, body, headers={"Authorization": f"Bearer {token}"})[0]


def held(short_tmp: Path, daemon: DaemonProcess, eventually: Callable[..., None]) -> str:
    eventually(lambda: any(line.startswith("scope") for line in daemon.lines("driver")))
    return (short_tmp / "token.txt").read_text()


def test_an_agent_drives_another_with_its_own_command(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(driver(short_tmp, "inject"))
    daemon.wait_for("demo", "idle")
    token = held(short_tmp, daemon, eventually)
    assert token.startswith("meshd_")
    assert "echo: from-an-agent" in said(daemon, eventually, "inject demo from-an-agent --until completed")
    assert said(daemon, eventually, "stop demo").startswith("exit 1")
    assert said(daemon, eventually, f"ls --runtime-dir {daemon.runtime}").startswith("exit 0")
    assert said(daemon, eventually, f"token list --runtime-dir {daemon.runtime}").startswith("exit 1")
    audit = (short_tmp / "state" / "audit.jsonl").read_text()
    assert '"principal":"slot:driver"' in audit
    kept = [path for path in (short_tmp / "state").rglob("*") if path.is_file()]
    assert not [path for path in kept if token.encode() in path.read_bytes()]
    assert token not in daemon.log.read_text()
    assert token.encode() not in daemon.call("GET", "/slots/driver")


def test_the_token_has_its_scope_and_ends_with_the_agent(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(driver(short_tmp, "read"))
    token = held(short_tmp, daemon, eventually)
    assert status(daemon, token, "GET", "/slots") == 200
    assert status(daemon, token, "POST", "/inject/demo", {"text": "x"}) == 403
    assert status(daemon, token, "GET", "/tokens") == 403
    daemon.kill()
    daemon.start()
    assert status(daemon, token, "GET", "/slots") == 200, "the next daemon does not know the agent that it took over"
    daemon.call("POST", "/restart/driver", {})
    assert status(daemon, token, "GET", "/slots") == 401
    eventually(lambda: (short_tmp / "token.txt").read_text() not in ("", token))
    newer = (short_tmp / "token.txt").read_text()
    assert status(daemon, newer, "GET", "/slots") == 200
    daemon.call("POST", "/stop/driver", {"grace_s": 1})
    assert status(daemon, newer, "GET", "/slots") == 401


def test_a_reload_widens_narrows_and_ends_it_at_once(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(driver(short_tmp, "read"))
    token = held(short_tmp, daemon, eventually)
    pid = detail(daemon, "driver").pid
    daemon.configure(driver(short_tmp, "inject"))
    assert changes(daemon.reload()) == {"driver": ("updated", ["api"])}
    assert status(daemon, token, "POST", "/inject/demo", {"text": "x", "until": "accepted"}) in (200, 202)
    daemon.configure(driver(short_tmp, "none"))
    daemon.reload()
    assert status(daemon, token, "GET", "/slots") == 401
    assert said(daemon, eventually, f"ls --runtime-dir {daemon.runtime}").startswith("exit 1")
    daemon.configure(driver(short_tmp, "read"))
    assert changes(daemon.reload()) == {"driver": ("stale", ["api"])}  # as far as is known it has none
    assert status(daemon, token, "GET", "/slots") == 401
    assert detail(daemon, "driver").pid == pid


def test_without_it_the_agent_has_nothing(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(driver(short_tmp, "none"))
    held(short_tmp, daemon, eventually)
    assert "scope False -" in daemon.lines("driver")
    assert "may not use the local socket" in said(daemon, eventually, f"ls --runtime-dir {daemon.runtime}")
