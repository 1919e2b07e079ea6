"""A real daemon that knows its callers by their addresses alone."""

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from local_api_server import device
from meshd_tailscale.commands import tailscale_commands
from meshd_tailscale.config import TailscaleConfig

from meshd_core.testing.daemon import DaemonProcess

TABLES = """
[[slots]]
name = "demo"
kind = "demo"

[auth]
providers = {providers}

[plugins.tailscale]
socket = "{socket}"
local_peers = {local}

[[plugins.tailscale.allow]]
users = ["alice@example.com"]
scope = "inject"
"""


def tables(local_api: Any, providers: str = '["tailscale"]', local: str = "true") -> str:
    return TABLES.format(socket=local_api.server_address, providers=providers, local=local)


def status(daemon: DaemonProcess, method: str, path: str, body: object = None, token: str = "") -> int:
    before, daemon.token = daemon.token, token
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {"X-None": ""}
        return _bare(daemon, method, path, body, headers)
    finally:
        daemon.token = before


def _bare(daemon: DaemonProcess, method: str, path: str, body: object, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    try:
        data = None if body is None else msgspec.json.encode(body)
        more = {"Content-Type": "application/json"} if data else {}
        connection.request(method, path, data, {**headers, **more})
        return connection.getresponse().status
    finally:
        connection.close()


class Ended(DaemonProcess):
    """Ended by a signal: nobody of its own has the scope for /shutdown over TCP."""

    def shutdown(self) -> None:
        if self._process is not None and self._process.poll() is None:
            places = {"MESHD_RUNTIME_DIR": str(self.runtime), "MESHD_STATE_DIR": str(self.state)}
            command = [sys.executable, "-m", "meshd_core.cli", "down"]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, **places})
            self._process.wait(timeout=30)


@pytest.fixture
def daemon(short_tmp: Path, local_api: Any) -> Iterator[DaemonProcess]:
    with Ended(short_tmp, tables(local_api)) as daemon:
        yield daemon


def test_a_user_of_the_tailnet_gets_what_the_rule_says_and_no_more(daemon: DaemonProcess, local_api: Any) -> None:
    assert status(daemon, "GET", "/slots") == 401
    local_api.devices["127.0.0.1"] = device(2)
    assert status(daemon, "GET", "/slots") == 200
    assert status(daemon, "POST", "/inject/demo", {"text": "hello"}) in (200, 202)
    assert status(daemon, "POST", "/stop/demo") == 403
    assert status(daemon, "GET", "/slots", token="meshd_00000000_" + "x" * 43) == 401
    local_api.devices["127.0.0.1"] = device(2, login="eve@example.org")
    assert status(daemon, "GET", "/slots") == 401
    local_api.close()
    assert status(daemon, "GET", "/slots") == 401
    assert status(daemon, "GET", "/health") == 200


def test_the_audit_log_names_the_user(daemon: DaemonProcess, local_api: Any) -> None:
    local_api.devices["127.0.0.1"] = device(2)
    status(daemon, "POST", "/inject/demo", {"text": "hello"})
    audit = b"".join(path.read_bytes() for path in daemon.state.glob("*.jsonl"))
    assert b"tailscale:alice@example.com" in audit


def test_a_machine_s_own_processes_get_nothing_by_default_and_tokens_work_beside(
    short_tmp: Path, local_api: Any
) -> None:
    local_api.devices["127.0.0.1"] = device(2)
    with DaemonProcess(short_tmp, tables(local_api, '["tailscale", "token"]', "false")) as daemon:
        assert status(daemon, "GET", "/slots") == 401
        assert status(daemon, "GET", "/slots", token=daemon.token) == 200


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="a network namespace needs root and iproute2's ip"
)
def test_a_peer_from_another_machine_is_known_by_its_real_address(short_tmp: Path, local_api: Any) -> None:
    name = f"mts{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        here, there = f"a{os.getpid()}", f"b{os.getpid()}"
        for command in (
            f"link add {here} type veth peer name {there} netns {name}", f"addr add 100.64.77.1/30 dev {here}",
            f"link set {here} up", f"-n {name} addr add 100.64.77.2/30 dev {there}", f"-n {name} link set {there} up",
        ):  # fmt: skip
            subprocess.run(["ip", *command.split()], check=True)
        local_api.devices["100.64.77.2"] = device(2)
        local_api.devices["100.64.77.1"] = device(3)
        config = tables(local_api, '["tailscale"]', "false")
        daemon = Ended(short_tmp, config)
        daemon.config.write_text(daemon.config.read_text().replace('["127.0.0.1"]', '["127.0.0.1", "100.64.77.1"]'))
        with daemon:
            ask = (
                "import http.client as h\n"
                f"c = h.HTTPConnection('100.64.77.1', {daemon.port}, timeout=10)\n"
                "c.request('GET', '/slots', headers={'X-Forwarded-For': '127.0.0.1'})\nprint(c.getresponse().status)"
            )
            far = subprocess.run(
                ["ip", "netns", "exec", name, sys.executable, "-c", ask], capture_output=True, text=True, check=True
            )
            near = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
            assert (far.stdout.strip(), near.stdout.strip()) == ("200", "401")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_the_command_shows_who_it_is_and_what_they_may_do(local_api: Any) -> None:
    local_api.devices["100.64.0.2"] = device(2)
    local_api.devices["100.64.0.3"] = device(3, tags=["tag:x"])
    config = {"socket": str(local_api.server_address), "allow": [{"users": ["alice@example.com"], "scope": "read"}]}
    group = tailscale_commands(msgspec.convert(config, TailscaleConfig))
    runner = CliRunner()
    good = runner.invoke(group, ["whois", "100.64.0.2:1"])
    assert (good.exit_code, "alice@example.com  read on *" in good.output) == (0, True)
    tagged = runner.invoke(group, ["whois", "--json", "100.64.0.3:1"])
    answer = msgspec.json.decode(tagged.output)
    assert (tagged.exit_code, answer["tags"], answer["scope"]) == (1, ["tag:x"], None)
    assert "no rule" in answer["refused"]
    assert "nobody" in runner.invoke(group, ["whois", "100.64.0.9:1"]).output
    local_api.close()
    assert "can't be asked" in runner.invoke(group, ["whois", "100.64.0.2:1"]).output
