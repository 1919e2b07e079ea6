"""Start, stop, restart, policies: the status that is told, and that no process is left behind."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import Slot, SlotDetail

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("grandchild", child.pid, flush=True)
time.sleep(600)
"""


def generic(name: str, *argv: str, **more: str) -> str:
    command = ", ".join(repr(word) for word in argv)
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[slots]]\nname = "{name}"\nkind = "generic"\ncommand = [{command}]\n{extra}\n'


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def answer(daemon: DaemonProcess, path: str, body: object = None) -> Slot:
    return msgspec.json.decode(daemon.call("POST", path, body), type=Slot)


def code_of(daemon: DaemonProcess, path: str) -> str:
    with pytest.raises(HttpFailure) as failure:
        daemon.call("POST", path)
    return failure.value.code


def test_stop_and_start_and_restart(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    first = daemon.wait_for("demo", "idle")
    stopped = answer(daemon, "/stop/demo")
    assert (stopped.status, stopped.pid, stopped.activity.state) == ("stopped", None, "unknown")
    assert stopped.exit is not None
    assert not alive(first.pid)
    assert code_of(daemon, "/stop/demo") == "slot_not_running"
    started = answer(daemon, "/start/demo")
    assert started.status == "running"
    assert code_of(daemon, "/start/demo") == "slot_already_running"
    again = answer(daemon, "/restart/demo")
    assert again.pid != started.pid
    assert again.restarts == 1
    assert daemon.inject("demo", "after all that").reply == "echo: after all that"


def test_an_agent_that_ignores_term_is_killed_and_its_grandchild_too(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    (short_tmp / "stubborn.py").write_text(STUBBORN)
    daemon = make_daemon(generic("stubborn", sys.executable, str(short_tmp / "stubborn.py")))
    eventually(lambda: daemon.lines("stubborn"))
    grandchild = int(daemon.lines("stubborn")[0].split()[1])
    pid = daemon.get("/slots/stubborn", SlotDetail).pid
    assert alive(grandchild)
    assert answer(daemon, "/stop/stubborn", {"grace_s": 0.3}).exit.signal == "SIGKILL"
    assert not alive(pid)
    assert not alive(grandchild)


def test_a_killed_agent_is_seen_at_once_and_started_again_after_a_pause(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    pid = daemon.wait_for("demo", "idle").pid
    os.kill(pid, signal.SIGKILL)
    slot = daemon.wait_for("demo", "backoff", 2)
    assert (slot.status, slot.exit.signal) == ("backoff", "SIGKILL")
    slot = daemon.wait_for("demo", "idle", 5)
    assert slot.pid not in (None, pid)
    assert slot.restarts == 1


def test_an_agent_that_cannot_stay_up_is_failed_after_five_exits(make_daemon: Any) -> None:
    daemon = make_daemon(generic("crash", sys.executable, "-c", "raise SystemExit(3)"))
    deadline = time.monotonic() + 40
    while (slot := daemon.wait_for("crash", "failed", 30)).status != "failed":
        assert time.monotonic() < deadline, slot
    assert slot.exit.code == 3
    assert slot.error
    assert slot.restarts == 4


def test_never_means_never_and_a_clean_exit_is_no_failure(make_daemon: Any) -> None:
    daemon = make_daemon(
        generic("never", sys.executable, "-c", "raise SystemExit(3)", restart='"never"')
        + generic("clean", sys.executable, "-c", "print('bye')")
    )
    for name, code in (("never", 3), ("clean", 0)):
        slot = daemon.wait_for(name, "stopped", 10)
        assert (slot.status, slot.exit.code, slot.restarts) == ("stopped", code, 0)
    assert daemon.lines("clean") == ["bye"]


def test_a_line_program_takes_prompts_after_quiet_and_receipts_are_honest(make_daemon: Any, eventually: Any) -> None:
    daemon = make_daemon(generic("cat", "cat", options="{ quiet_s = 0.2, output = 'lines' }"))
    receipt = daemon.inject("cat", "hello cat")
    assert (receipt.stage, receipt.capped) == ("entered", True)
    assert daemon.get("/slots/cat", SlotDetail).activity.state == "unknown"
    eventually(lambda: daemon.lines("cat") == ["hello cat", "hello cat"])


def test_a_slot_that_cannot_start_says_why_and_the_others_run(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot + generic("gone", "no-such-binary", autostart="false"))
    with pytest.raises(HttpFailure) as failure:
        daemon.call("POST", "/start/gone")
    assert failure.value.code == "start_failed"
    assert b"no-such-binary" in failure.value.body
    slot = daemon.get("/slots/gone", SlotDetail)
    assert slot.status == "failed"
    assert "no-such-binary" in (slot.error or "")
    assert daemon.inject("demo", "fine").stage == "completed"


def test_an_agent_is_not_told_that_nobody_is_at_its_terminal(make_daemon: Any, eventually: Any) -> None:
    """A daemon that CI started: Gemini CLI, for one, would take no keys."""
    says = "import os; print(sorted(k for k in os.environ if k in ('CI', 'GITHUB_ACTIONS')))"
    slots = "".join(
        f'[[slots]]\nname = "{name}"\nkind = "generic"\ncommand = ["{sys.executable}", "-c", "{says}"]\n{env}\n'
        for name, env in (("plain", ""), ("own", 'env = { CI = "true" }'))
    )
    daemon = make_daemon(slots, env={"CI": "true", "GITHUB_ACTIONS": "true"})
    for slot, line in (("plain", "[]"), ("own", "['CI']")):
        eventually(lambda slot=slot, line=line: line in daemon.lines(slot), 15, lambda slot=slot: daemon.lines(slot))


def test_the_agents_environment_has_nothing_of_meshd_but_its_marks(make_daemon: Any, eventually: Any) -> None:
    marks = "import os; print(sorted(k for k in os.environ if k.startswith('MESHD')))"
    show = f"{marks}; print(os.listdir('/proc/self/fd'))"
    daemon = make_daemon(generic("env", sys.executable, "-c", show, env="{ OWN = '1' }"))
    eventually(lambda: len(daemon.lines("env")) == 2)
    assert daemon.lines("env") == ["['MESHD_RUN', 'MESHD_SLOT']", "['0', '1', '2', '3']"]
