"""The recorder's command: what it refuses, and the namespace that it records in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshd_core.testing.cli_cache import read_pins
from meshd_core.testing.corpus.__main__ import main
from meshd_core.testing.corpus.namespace import NoNamespace, bring_up_loopback, is_inside
from meshd_core.testing.corpus.subjects import choose

PINS = Path(__file__).parents[2] / "agents/versions.toml"
INSIDE = """
import socket
from meshd_core.testing.corpus.namespace import bring_up_loopback, is_inside
bring_up_loopback()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()
print("inside", is_inside(), socket.if_nameindex())
"""
ENTER = "import sys; from meshd_core.testing.corpus.namespace import enter; enter([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agents", "claude-0.0.1"], "claude-0.0.1: known are claude, "),
        (["--agents", "pi", "--scenarios", "none"], "none: known scenarios are first-run, "),
    ],
)
def test_unknown_names_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--pins", str(PINS), "--corpus", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_all_versions_of_a_cli_or_one() -> None:
    pins = read_pins(PINS)
    versions = [pin.version for _, pin in choose(pins, ["codex"])]
    assert versions == [pins["codex"].version, *pins["codex"].also]
    assert [(cli, pin.version) for cli, pin in choose(pins, [f"codex-{versions[-1]}"])] == [("codex", versions[-1])]
    assert {cli for cli, _ in choose(pins, [])} == set(pins)


def test_inside_there_is_nothing_but_loopback() -> None:
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    done = subprocess.run([sys.executable, "-c", ENTER, INSIDE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "inside True [(1, 'lo')]\n", done.stderr


def test_outside_it_does_not_record() -> None:
    assert not is_inside()
    if len(os.listdir("/sys/class/net")) < 2:
        pytest.skip("there is no network here")
    with pytest.raises(NoNamespace, match="besides loopback"):
        bring_up_loopback()
