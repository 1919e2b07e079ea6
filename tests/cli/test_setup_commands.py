"""init, doctor, completion, ls --watch: on this machine, with and without a daemon."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from meshd_core.testing.daemon import DaemonProcess

SLOT = '[[slots]]\nname = "demo"\nkind = "demo"\n'


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp, SLOT) as running:
        yield running


@pytest.fixture
def of_daemon(daemon: DaemonProcess) -> dict[str, str]:
    """The environment in which `meshd` finds the daemon, its state and its file."""
    return {
        "MESHD_RUNTIME_DIR": str(daemon.runtime),
        "MESHD_STATE_DIR": str(daemon.state),
        "MESHD_CONFIG": str(daemon.config),
    }


# -- init --


def test_init_writes_a_file_that_is_right_with_the_agents_that_are_there(meshd: Any, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file, path = tmp_path / 'a "folder"' / "meshd.toml", f"{program.parent}:{os.environ['PATH']}"
    done = meshd("init", "--config", str(file), "--json", PATH=path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if "claude" in said["agents"]:  # its kind is a plugin
        assert said["agents"]["claude"] == str(program) and 'kind = "claude"' in file.read_text()
    checked = meshd("config", "check", str(file), PATH=path)
    assert checked.returncode == 0, checked.stderr
    before = file.read_text()
    file.write_text("# mine\n")
    refused = meshd("init", "--config", str(file))
    assert refused.returncode == 1 and "--force" in refused.stderr and file.read_text() == "# mine\n"
    assert meshd("init", "--config", str(file), "--force", PATH=path).returncode == 0
    assert file.read_text() == before


def test_init_without_any_agent_shows_how_to_write_a_slot(meshd: Any, tmp_path: Path) -> None:
    done = meshd("init", "--config", str(tmp_path / "meshd.toml"), PATH=str(tmp_path))
    assert done.returncode == 0 and "no agent CLI" in done.stdout
    assert meshd("config", "check", str(tmp_path / "meshd.toml")).returncode == 0


def test_init_takes_no_address_or_name_that_can_not_be(meshd: Any, tmp_path: Path) -> None:
    file = tmp_path / "meshd.toml"
    for words in (["--bind", "localhost"], ["--name", "My Mac"]):
        done = meshd("init", "--config", str(file), *words)
        assert done.returncode == 2 and not file.exists()
    assert meshd("init", "--config", str(file), "--bind", "10.0.0.1", "--name", "a1").returncode == 0
    assert 'bind = ["10.0.0.1"]' in file.read_text() and 'name = "a1"' in file.read_text()


def test_init_takes_a_port_and_warns_of_a_folder_that_is_not_there(meshd: Any, tmp_path: Path) -> None:
    file = tmp_path / "meshd.toml"
    done = meshd("init", "--config", str(file), "--port", "9000", "--cwd", str(tmp_path / "nowhere"))
    assert done.returncode == 0 and f"no folder {tmp_path / 'nowhere'}" in done.stderr
    assert "port = 9000\n" in file.read_text()
    there = meshd("init", "--config", str(file), "--force", "--cwd", str(tmp_path))
    assert there.returncode == 0 and "warning" not in there.stderr


# -- doctor --


def findings(done: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def test_doctor_finds_nothing_broken_with_a_healthy_daemon(meshd: Any, of_daemon: dict[str, str]) -> None:
    done = meshd("doctor", "--json", **of_daemon)
    assert done.returncode == 0, done.stdout
    found = findings(done)
    assert {"python", "state", "runtime", "disk", "config", "plugins", "agents", "daemon"} <= set(found)
    assert found["daemon"][0]["status"] == "ok" and "port" not in found
    assert "nothing is broken" in meshd("doctor", **of_daemon).stdout


def test_doctor_tells_of_a_token_that_ends_soon(meshd: Any, of_daemon: dict[str, str]) -> None:
    assert meshd("token", "create", "--scope", "read", "--expires", "2d", "--label", "ci", **of_daemon).returncode == 0
    [token] = findings(meshd("doctor", "--json", **of_daemon))["tokens"]
    assert token["status"] == "warning" and "ci" in token["message"] and "--scope read" in token["hint"]


def test_doctor_names_each_fault_with_its_way_out(meshd: Any, short_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (short_tmp / "meshd.toml").write_text(
            f'[node]\nbind = ["127.0.0.1"]\nport = {port}\n'
            '[[slots]]\nname = "a"\nkind = "demo"\ncwd = "/no/such/folder"\n'
        )
        (short_tmp / "state").mkdir()
        (short_tmp / "state").chmod(0o777)
        env = {"MESHD_CONFIG": str(short_tmp / "meshd.toml"), "MESHD_STATE_DIR": str(short_tmp / "state")}
        done = meshd("doctor", "--json", **env)
    assert done.returncode == 1
    found = findings(done)
    assert [found[check][0]["status"] for check in ("state", "agents", "port")] == ["broken"] * 3
    assert "chmod 700" in found["state"][0]["hint"]
    assert "/no/such/folder" in found["agents"][0]["message"]
    assert str(port) in found["port"][0]["message"]
    assert found["daemon"][0]["status"] == "warning" and "meshd serve" in found["daemon"][0]["hint"]


def test_doctor_tells_all_errors_of_the_configuration(meshd: Any, short_tmp: Path) -> None:
    (short_tmp / "meshd.toml").write_text('[node]\nprt = 1\n[[slots]]\nname = "a"\nkind = "dmo"\n')
    found = findings(meshd("doctor", "--json", MESHD_CONFIG=str(short_tmp / "meshd.toml")))
    assert len(found["config"]) == 2 and {one["status"] for one in found["config"]} == {"broken"}


# -- completions --


def completed(meshd: Any, words: str, **env: str) -> list[str]:
    count = str(len(words.split(" ")) - 1)
    done = meshd(_MESHD_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count, **env)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completions(meshd: Any, shell: str) -> None:
    done = meshd("completion", shell)
    assert done.returncode == 0 and "_MESHD_COMPLETE" in done.stdout


def test_names_of_slots_come_from_the_daemon(meshd: Any, of_daemon: dict[str, str]) -> None:
    assert completed(meshd, "meshd show ", **of_daemon) == ["demo"]
    assert completed(meshd, "meshd inject de", **of_daemon) == ["demo"]
    assert completed(meshd, "meshd screen x", **of_daemon) == []
    assert "restart" in completed(meshd, "meshd rest", **of_daemon)


def test_without_a_daemon_completions_are_silent(meshd: Any, server: Any) -> None:
    server.handle = lambda request, reply: reply.until_closed()
    begun = time.monotonic()
    assert completed(meshd, "meshd show ") == []
    assert time.monotonic() - begun < 8
    assert completed(meshd, "meshd show ", MESHD_RUNTIME_DIR="/no/such") == []


# -- ls --watch --


def test_piped_each_change_is_a_line_also_after_a_restart_of_the_daemon(
    command: list[str], environment: dict[str, str], daemon: DaemonProcess, of_daemon: dict[str, str]
) -> None:
    watching = subprocess.Popen(
        [*command, "ls", "--watch"], env=environment | of_daemon, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert watching.stdout is not None and watching.stderr is not None
        assert " demo running " in watching.stdout.readline()
        daemon.kill()
        assert "connection lost" in watching.stderr.readline()
        daemon.start()
        daemon.inject("demo", "ask", until="submitted")
        for line in watching.stdout:
            if "demo running waiting" in line and "Allow the demo" in line:
                break
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130
        assert "Traceback" not in watching.stderr.read()
    finally:
        watching.kill()
        watching.communicate()


def test_on_a_terminal_the_table_is_drawn_in_its_place(
    command: list[str], environment: dict[str, str], daemon: DaemonProcess, of_daemon: dict[str, str]
) -> None:
    terminal = pexpect.spawn(
        command[0], [*command[1:], "ls", "-w"], env=environment | of_daemon, dimensions=(20, 100), timeout=30
    )
    try:
        terminal.expect(r"NAME +KIND +STATUS")
        terminal.expect(r"\x1b\[2A\x1b\[JNAME")
        daemon.inject("demo", "slow 30", until="submitted")
        terminal.expect(r"demo +demo +running +busy")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 130 and b"Traceback" not in terminal.before
    finally:
        terminal.close(force=True)


def test_filters_count_and_json_is_one_document_a_line(
    command: list[str], environment: dict[str, str], daemon: DaemonProcess, of_daemon: dict[str, str]
) -> None:
    words = [*command, "ls", "--watch", "--json", "--activity", "waiting"]
    watching = subprocess.Popen(words, env=environment | of_daemon, stdout=subprocess.PIPE, text=True)
    try:
        daemon.inject("demo", "ask", until="submitted")
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["activity"]["state"] == "waiting"
    finally:
        watching.kill()
        watching.communicate()
