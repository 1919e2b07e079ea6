"""What keeps a daemon from starting is told in one clear message, with an exit code of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.exit_codes import ExitCode
from meshd_core.testing.daemon import DaemonProcess


def serve(folder: Path, config: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run `meshd serve` to its end; a daemon that comes up is a failure of the test."""
    (folder / "meshd.toml").write_text(config)
    places = ["--config", folder / "meshd.toml", "--state-dir", folder / "state", "--runtime-dir", folder / "run"]
    return subprocess.run(
        [sys.executable, "-m", "meshd_core.cli", "serve", *map(str, places)],
        capture_output=True, text=True, timeout=30, env={**os.environ, **env},
    )  # fmt: skip


LOCAL = '[node]\nbind = ["127.0.0.1"]\nport = 0\n'


def message(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    return done.stderr


def test_a_bad_configuration_lists_every_error(short_tmp: Path) -> None:
    config = LOCAL.replace("port", "prot") + '[[slots]]\nname = "A b"\nkind = "cluade"\nautostrat = true\n'
    told = message(serve(short_tmp, config), ExitCode.CONFIG, "prot", "port", "A b", "autostart")
    assert len([line for line in told.splitlines() if "meshd.toml" in line]) >= 4


def test_a_kind_that_is_not_installed_says_how_to_get_it(short_tmp: Path) -> None:
    config = LOCAL + '[[slots]]\nname = "c"\nkind = "claude"\n'
    done = serve(short_tmp, config, MESHD_PLUGINS="demo")
    message(done, ExitCode.CONFIG, 'kind "claude" is not installed')


def test_a_missing_binary_is_named_with_its_slot(short_tmp: Path) -> None:
    config = LOCAL + '[[slots]]\nname = "gone"\nkind = "generic"\ncommand = ["no-such-cli"]\n'
    message(serve(short_tmp, config), ExitCode.MISSING_BINARY, "gone", "no-such-cli", "PATH")
    check = [sys.executable, "-m", "meshd_core.cli", "config", "check", str(short_tmp / "meshd.toml")]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=30)
    assert checked.returncode == ExitCode.MISSING_BINARY
    assert "no-such-cli" in checked.stderr


def test_a_port_in_use_is_named(short_tmp: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message(serve(short_tmp, LOCAL.replace("port = 0", f"port = {port}")), ExitCode.PORT_IN_USE, str(port))


def test_a_second_daemon_on_one_state_names_the_first(make_daemon: Any, short_tmp: Path, demo_slot: str) -> None:
    daemon: DaemonProcess = make_daemon(demo_slot)
    message(serve(short_tmp, LOCAL), ExitCode.ALREADY_RUNNING, str(daemon.pid))
    assert daemon.inject("demo", "untouched").stage == "completed"


@pytest.fixture
def tiny_disk(short_tmp: Path) -> Iterator[Path]:
    """A file system of 1 MiB, too small for a journal."""
    place = short_tmp / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_starts_nothing(tiny_disk: Path) -> None:
    config = LOCAL + '[[slots]]\nname = "demo"\nkind = "demo"\n'
    message(serve(tiny_disk, config), ExitCode.DISK_FULL, "space")


def test_no_authentication_needs_loopback(short_tmp: Path) -> None:
    config = '[node]\nbind = ["0.0.0.0"]\nport = 0\n[auth]\nproviders = ["none"]\n'
    message(serve(short_tmp, config), ExitCode.CONFIG, "none", "127.0.0.1")


def test_every_cause_has_an_exit_code_of_its_own() -> None:
    codes = [value for name, value in vars(ExitCode).items() if not name.startswith("_")]
    assert len(codes) == len(set(codes))
