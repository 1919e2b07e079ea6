"""`meshd supabase jwt`: a real token, the secret from anywhere but the command line, and no secret in what is shown."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result
from meshd_supabase.commands import supabase

SECRET = "k3yboard-lantern-orchard-violet-98"


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "jwt.secret"
    path.write_text(SECRET + "\n")
    return str(path)


def run(*arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(supabase, ["jwt", *arguments], input=stdin, env=env)


def claims(token: str) -> dict[str, object]:
    return jwt.decode(token.strip(), SECRET, algorithms=["HS256"], audience="authenticated")


def test_a_token_for_a_node(secret_file: str) -> None:
    done = run("--node", "mac1", "--secret-file", secret_file, "--days", "30")
    assert done.exit_code == 0, done.output
    said = claims(done.stdout)
    assert (said["meshd_node"], said["role"]) == ("mac1", "authenticated")
    assert "meshd_viewer" not in said
    assert said["exp"] == pytest.approx(time.time() + 30 * 86400, abs=60)


def test_a_token_for_viewers_from_a_variable_or_stdin() -> None:
    for done in (
        run("--viewer", "--secret-env", "S", env={"S": SECRET}),
        run("--viewer", "--secret-file", "-", stdin=SECRET + "\n"),
    ):
        said = claims(done.stdout)
        assert said["meshd_viewer"] is True
        assert "meshd_node" not in said


def test_written_to_a_private_file_that_was_not_there(secret_file: str, tmp_path: Path) -> None:
    out = tmp_path / "mac1.jwt"
    done = run("--node", "mac1", "--secret-file", secret_file, "--out", str(out), "--json")
    assert json.loads(done.stdout) == {
        "node": "mac1", "viewer": False, "role": "authenticated", "days": 365, "file": str(out),
    }  # fmt: skip
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert claims(out.read_text())["meshd_node"] == "mac1"
    again = run("--node", "mac1", "--secret-file", secret_file, "--out", str(out))
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_json_has_the_token(secret_file: str) -> None:
    done = run("--viewer", "--secret-file", secret_file, "--json")
    assert claims(json.loads(done.stdout)["token"])["meshd_viewer"] is True


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--node", "mac1"), 2),
        (("--node", "mac1", "--viewer"), 2),
        (("--node", "../mac1"), 2),
        (("--node", "mac1\n"), 2),
        (("--node", "mac1", "--role", "service_role"), 2),
        (("--node", "mac1", "--role", "anon"), 2),
        (("--node", "mac1", "--days", "0"), 2),
        (("--node", "mac1", "--secret-env", "NOT_THERE"), 1),
        (("--node", "mac1", "--secret-file", "/nonexistent/secret"), 1),
        (("--node", "mac1", "--secret-env", "SHORT"), 1),
        (("--node", "mac1", "--secret-env", "SHORT", "--secret-file", "x"), 2),
    ],
)
def test_refused(arguments: tuple[str, ...], code: int) -> None:
    done = run(*arguments, env={"SHORT": "hush-too-short"})
    assert done.exit_code == code, done.output
    assert "hush" not in done.output
    assert done.stdout == ""


def test_it_is_a_command_of_meshd(secret_file: str, tmp_path: Path) -> None:
    """Found through the hook, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "meshd_core.cli",
        "supabase",
        "jwt",
        "--node",
        "mac1",
        "--secret-file",
        secret_file,
    ]
    env = {**os.environ, "MESHD_CONFIG": str(tmp_path / "meshd.toml"), "MESHD_STATE_DIR": str(tmp_path / "state")}
    (tmp_path / "meshd.toml").write_text("")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert claims(done.stdout)["meshd_node"] == "mac1"
