"""Hygiene that only the whole daemon can show: who gets in, and what gets out."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import Slot

CALL = """
import http.client, os, socket, subprocess, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(sys.argv[1])
def status():
    connection = Unix("localhost"); connection.request("GET", "/slots"); return connection.getresponse().status
if len(sys.argv) == 2:
    print("agent", status(), flush=True)
    # A grandchild that cleaned its environment and left the session is still the agent's.
    subprocess.run([sys.executable, sys.argv[0], sys.argv[1], "clean"], env={}, start_new_session=True)
else:
    print("grandchild", status(), flush=True)
import time; time.sleep(60 if len(sys.argv) == 2 else 0)
"""


def test_an_agent_is_not_admin_by_the_unix_socket_but_its_user_is(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    script, socket = short_tmp / "call.py", short_tmp / "run" / "meshd.sock"
    script.write_text(CALL)
    daemon: DaemonProcess = make_daemon(
        f'[[slots]]\nname = "agent"\nkind = "generic"\ncommand = ["{sys.executable}", "{script}", "{socket}"]\n'
    )
    eventually(lambda: daemon.lines("agent") == ["agent 403", "grandchild 403"], 15, lambda: daemon.lines("agent"))
    own = subprocess.run([sys.executable, str(script), str(socket), "own"], capture_output=True, text=True, timeout=20)
    assert own.stdout.strip() == "grandchild 200"


def test_files_are_for_their_owner_alone_whatever_the_umask(make_daemon: Any, short_tmp: Path, demo_slot: str) -> None:
    before = os.umask(0)
    try:
        daemon: DaemonProcess = make_daemon(demo_slot)
    finally:
        os.umask(before)
    daemon.inject("demo", "make files")
    for place in (daemon.state, daemon.runtime):
        for path in (place, *place.rglob("*")):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_tokens_and_prompts_are_in_no_log(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    daemon.inject("demo", "a-secret-prompt")
    daemon.exchange("GET", "/slots/demo", headers={"Authorization": "Bearer meshd_x_wrong-token-text"})
    said = daemon.log.read_text() + (daemon.state / "audit.jsonl").read_text()
    for secret in (daemon.token, "a-secret-prompt", "wrong-token-text"):
        assert secret not in said
    assert '"slot":"demo"' in said


def test_a_receipt_out_of_reach_is_as_one_that_never_was(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    receipt = daemon.inject("demo", "hello").id
    made = daemon.call("POST", "/tokens", {"scope": "control", "slots": ["other"]})
    own = {"Authorization": f"Bearer {json.loads(made)['token']}"}
    for method in ("GET", "DELETE"):
        hidden, none = (daemon.exchange(method, f"/injects/{id}", headers=own) for id in (receipt, "01JD0@test"))
        assert hidden[0] == 404
        assert hidden == none


def test_nothing_answers_without_a_credential_but_health(make_daemon: Any, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    token, daemon.token = daemon.token, "meshd_none_none"
    try:
        for path in ("/slots", "/slots/demo", "/nothing", "/openapi.json", "/stream/demo", "/node", "/plugins"):
            assert daemon.exchange("GET", path)[0] in (401, 429), path
        assert daemon.exchange("GET", "/health")[0] == 200
    finally:
        daemon.token = token
    assert daemon.get("/slots/demo", Slot).name == "demo"
