"""The end of an agent: each step with its own grace, nothing of it left behind, whoever dies meanwhile."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import Slot, SlotDetail
from tests.daemon.test_lifecycle import alive, generic

HIDING = """
import os, signal, subprocess, sys, time
sleep = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]

def daemonized():
    # The whole art of hiding: a session of its own, no parent, no environment, no terminal, no folder.
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, b"%d" % os.getpid())
            os.chdir("/")
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.closerange(3, 64)
            os.execve(sleep[0], sleep, {})
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))

children = [
    daemonized(),
    subprocess.Popen(sleep, start_new_session=True).pid,
    subprocess.Popen(sleep, env={}, start_new_session=True).pid,
    subprocess.Popen(sleep, process_group=0).pid,
]
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
print("children", *children, flush=True)
for line in sys.stdin:
    if line.strip() == "leave":
        sys.exit(0)
while True:
    time.sleep(600)
"""
STEPS = """
import os, signal, sys, time
log = open(sys.argv[1], "a")
def note(what):
    print(what, time.time(), file=log, flush=True)
signal.signal(signal.SIGTERM, lambda *_: note("TERM"))
note("up")
print("ready", flush=True)
while True:
    line = sys.stdin.readline()
    note("key" if line.strip() == "quit" else "line")
    if line.strip() == "quit" and len(sys.argv) > 2:
        sys.exit(0)
"""


def hiding(short_tmp: Path, *ignored: str, **more: str) -> str:
    (short_tmp / "hiding.py").write_text(HIDING)
    return generic("hiding", sys.executable, str(short_tmp / "hiding.py"), *ignored, **more)


def children(daemon: DaemonProcess, eventually: Callable[..., None]) -> list[int]:
    """The process ids that the newest run printed."""
    eventually(lambda: [text for text in daemon.lines("hiding") if text.startswith("children")])
    found = [text for text in daemon.lines("hiding") if text.startswith("children")][-1]
    pids = [int(word) for word in found.split()[1:]]
    assert all(alive(pid) for pid in pids)
    return pids


def in_background(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        with suppress(OSError, HttpFailure):  # the daemon is killed under it
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_stop_ends_everything_wherever_it_hid(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(hiding(short_tmp))
    pids = children(daemon, eventually)
    daemon.call("POST", "/stop/hiding", {"grace_s": 0.5})
    assert not [pid for pid in pids if alive(pid)]


def test_an_agent_that_exits_by_itself_leaves_nothing_either(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    daemon = make_daemon(hiding(short_tmp, options="{ quiet_s = 0.1 }", restart='"never"'))
    pids = children(daemon, eventually)
    daemon.inject("hiding", "leave", until="written")
    daemon.wait_for("hiding", "stopped")
    eventually(lambda: not [pid for pid in pids if alive(pid)])


def test_an_agent_that_is_killed_leaves_nothing_and_its_successor_is_left_alone(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    daemon = make_daemon(hiding(short_tmp))
    pids = children(daemon, eventually)
    os.kill(daemon.get("/slots/hiding", SlotDetail).pid, signal.SIGKILL)
    eventually(lambda: not [pid for pid in pids if alive(pid)])
    eventually(lambda: len([text for text in daemon.lines("hiding") if text.startswith("children")]) == 2)
    assert all(alive(pid) for pid in children(daemon, eventually))


@pytest.mark.parametrize("then", ["stop", "restart"])
def test_a_stop_that_the_daemon_dies_in_is_carried_through(
    make_daemon: Any, short_tmp: Path, eventually: Any, then: str
) -> None:
    daemon = make_daemon(hiding(short_tmp, "SIGTERM", "SIGHUP", options="{ term_grace_s = 2.0, resume = ['SIGUSR1'] }"))
    pids = children(daemon, eventually)
    pid = daemon.get("/slots/hiding", SlotDetail).pid
    body = {"grace_s": 60} if then == "stop" else {"grace_s": 60, "resume": True}
    asked = in_background(lambda: daemon.call("POST", f"/{then}/hiding", body))
    daemon.wait_for("hiding", "stopping")
    daemon.kill()
    asked.join(10)
    assert alive(pid) and all(alive(one) for one in pids)
    daemon.start()
    eventually(lambda: not [one for one in (pid, *pids) if alive(one)], 20)
    eventually(lambda: daemon.get("/slots/hiding", SlotDetail).status == ("stopped" if then == "stop" else "running"))
    slot = daemon.get("/slots/hiding", SlotDetail)
    assert slot.exit is not None and slot.exit.signal == "SIGKILL"
    assert slot.pid != pid
    if then == "restart":
        assert b"SIGUSR1" in Path(f"/proc/{slot.pid}/cmdline").read_bytes()  # as asked: with its conversation


def test_a_stop_survives_the_death_of_the_keeper(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(hiding(short_tmp, "SIGTERM", "SIGHUP"))
    pids = children(daemon, eventually)
    pid = daemon.get("/slots/hiding", SlotDetail).pid
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    asked = in_background(lambda: daemon.call("POST", "/stop/hiding", {"grace_s": 1.5}))
    daemon.wait_for("hiding", "stopping")
    os.kill(keeper, signal.SIGKILL)
    asked.join(40)
    assert not [one for one in (pid, *pids) if alive(one)]
    assert daemon.get("/slots/hiding", SlotDetail).status == "stopped"


def steps(short_tmp: Path, *words: str) -> str:
    (short_tmp / "steps.py").write_text(STEPS)
    options = '{ exit = ["quit\\r"], exit_grace_s = 0.6, term_grace_s = 0.9 }'
    command = (sys.executable, str(short_tmp / "steps.py"), str(short_tmp / "steps.log"), *words)
    return generic("steps", *command, options=options)


def noted(short_tmp: Path) -> dict[str, float]:
    lines = (short_tmp / "steps.log").read_text().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines}


def test_each_step_of_a_stop_has_its_own_grace(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(steps(short_tmp))
    eventually(lambda: daemon.lines("steps"))
    slot = msgspec.json.decode(daemon.call("POST", "/stop/steps"), type=Slot)
    ended = time.time()
    seen = noted(short_tmp)
    assert list(seen) == ["up", "key", "TERM"]
    assert seen["TERM"] - seen["key"] >= 0.55
    assert ended - seen["TERM"] >= 0.85
    assert slot.exit is not None and slot.exit.signal == "SIGKILL"


def test_a_polite_exit_that_works_is_all_there_is(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(steps(short_tmp, "obey"))
    eventually(lambda: daemon.lines("steps"))
    slot = msgspec.json.decode(daemon.call("POST", "/stop/steps"), type=Slot)
    assert list(noted(short_tmp)) == ["up", "key"]
    assert (slot.status, slot.exit and slot.exit.code) == ("stopped", 0)


def test_a_hidden_process_of_an_agent_is_no_admin_on_the_socket(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    """It has neither the agent as ancestor nor the mark in its environment, but the mark that goes through exec."""
    source = short_tmp / "caller.py"
    source.write_text(
        "import os, sys, subprocess\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        words = [sys.executable, '-m', 'meshd_core.cli', 'ls', '--runtime-dir', sys.argv[1]]\n"
        f"        os.execve(sys.executable, words, {{'PYTHONPATH': {os.pathsep.join(sys.path)!r}}})\n"
        "    os._exit(0)\n"
        "import time; time.sleep(600)\n"
    )
    daemon = make_daemon(generic("caller", sys.executable, str(source), str(short_tmp / "run")))
    eventually(lambda: any("may not use the local socket" in line for line in daemon.lines("caller")), 30)
