"""What systemd would be told, received on a real notification socket from a real daemon; and the unit file."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from meshd_systemd.notify import notify, watchdog_interval_s

from meshd_core.testing.daemon import DaemonProcess

UNIT = Path(__file__).parents[3] / "contrib" / "systemd" / "meshd@.service"
SLOTS = '[[slots]]\nname = "demo"\nkind = "demo"\n'


class Listener:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path[1:] if path[0] == "@" else path)
        self._socket.settimeout(20)

    def next(self) -> dict[str, str]:
        text = self._socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.split("\n"))

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_systemd_is_told_once_the_daemon_answers(short_tmp: Path, kind: str) -> None:
    path = str(short_tmp / "notify") if kind == "file" else f"@meshd-test-{os.getpid()}"
    listener = Listener(path)
    with DaemonProcess(short_tmp, SLOTS, {"NOTIFY_SOCKET": path}) as daemon:
        told = listener.next()
        assert told["READY"] == "1"
        assert told["MAINPID"] == str(daemon.pid)
        assert told["STATUS"].startswith("node test, meshd ")
        assert f"http://127.0.0.1:{daemon.port}" in told["STATUS"]
        assert daemon.exchange("GET", "/health")[0] == 200
    listener.close()


def test_the_watchdog_beats_while_the_loop_turns_and_not_while_it_stands(short_tmp: Path) -> None:
    path = str(short_tmp / "notify")
    listener = Listener(path)
    with DaemonProcess(short_tmp, SLOTS, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}) as daemon:
        assert "READY" in listener.next()
        assert [listener.next() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3
        os.kill(daemon.pid, signal.SIGSTOP)
        listener._socket.settimeout(1.5)
        beats = 0
        with contextlib.suppress(TimeoutError):
            while beats < 5:  # at most what was already sent
                listener.next()
                beats += 1
        os.kill(daemon.pid, signal.SIGCONT)
        assert beats < 5
        listener._socket.settimeout(20)
        assert listener.next() == {"WATCHDOG": "1"}
    listener.close()


def test_a_daemon_whose_systemd_is_gone_runs_on(short_tmp: Path) -> None:
    with DaemonProcess(short_tmp, SLOTS, {"NOTIFY_SOCKET": str(short_tmp / "nobody")}) as daemon:
        assert daemon.exchange("GET", "/slots")[0] == 200
        assert "systemd can't be told" in daemon.log.read_text()


@pytest.mark.parametrize("value", [None, "", "relative", "vsock:2:1"])
def test_outside_of_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert notify("READY=1") is False


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None), ({"WATCHDOG_USEC": "x"}, None), ({"WATCHDOG_USEC": "0"}, None), ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "2000000"}, 1.0), ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "7"}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, None), ({"WATCHDOG_USEC": "2", "WATCHDOG_PID": ""}, None),
    ],
)  # fmt: skip
def test_the_interval_is_half_of_what_the_unit_allows(environ: dict[str, str], expected: float | None) -> None:
    assert watchdog_interval_s(environ, 7) == expected


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "KillMode=process" in text and "Type=notify" in text
    unit = tmp_path / "meshd@.service"
    unit.write_text(text.replace("/opt/meshd/bin/meshd", str(Path(sys.executable).with_name("meshd"))))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "meshd@" in line]
    assert (done.returncode, said) == (0, []), done.stdout + done.stderr
