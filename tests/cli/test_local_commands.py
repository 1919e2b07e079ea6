"""What needs no daemon: tokens, plugins, configuration, help; and what a command may import."""

import json
import subprocess
from pathlib import Path
from typing import Any

import click

from meshd_core.cli.render import age, clean, cut


def test_tokens_are_made_in_the_state_directory_while_no_daemon_runs(meshd: Any, short_tmp: Path) -> None:
    from meshd_core.auth.tokens import TokenStore

    state = short_tmp / "s"
    state.mkdir()
    nothing = meshd("token", "list", "--state-dir", str(state))
    assert nothing.returncode == 69  # no token was ever made there: it is no daemon's state
    TokenStore(state).ensure_admin()
    made = json.loads(meshd("token", "create", "--scope", "read", "--json", "--state-dir", str(state)).stdout)
    listed = meshd("token", "list", "--state-dir", str(state))
    assert made["kid"] in listed.stdout and made["token"] not in listed.stdout
    assert "no daemon answers; using the tokens in" in listed.stderr
    assert TokenStore(state).verify(made["token"]) is not None
    assert meshd("token", "revoke", made["kid"], "--state-dir", str(state)).returncode == 0
    assert TokenStore(state).verify(made["token"]) is None
    assert meshd("token", "revoke", made["kid"], "--state-dir", str(state)).returncode == 1


def test_plugin_list_says_whose_plugins_it_shows(server: Any, meshd: Any, short_tmp: Path) -> None:
    claude = {"name": "claude", "distribution": "meshd-claude", "version": "0.1.0", "status": "active", "hooks": []}
    server.handle = lambda request, reply: reply.json({"plugins": [{**claude, "provides": ["kind:claude"]}]})
    assert "kind:claude" in meshd("plugin", "list").stdout
    server.close()
    here = meshd("plugin", "list")
    assert here.returncode == 0 and "auth:token" in here.stdout
    assert "no daemon answers; these are the plugins installed here" in here.stderr
    assert json.loads(meshd("plugin", "list", "--local", "--json").stdout)["plugins"][0]["builtin"] is True


def test_config_check_tells_that_there_is_no_file_to_check(meshd: Any) -> None:
    done = meshd("config", "check")
    assert (done.returncode, "there is no such file: all is default" in done.stderr) == (0, True), done.stderr


def test_config_check_tells_all_errors_at_once_and_exits_78(meshd: Any, tmp_path: Path) -> None:
    file = tmp_path / "meshd.toml"
    file.write_text('[node]\nprot = 1\n[[slots]]\nname = "A b"\nkind = "nonsuch"\n')
    done = meshd("config", "check", str(file))
    assert done.returncode == 78
    assert all(word in done.stderr for word in ("prot", "'port'", "A b", "nonsuch"))
    told = json.loads(meshd("config", "check", "--config", str(file), "--json").stdout)
    assert not told["ok"] and len(told["problems"]) == 3
    file.write_text("[node]\nport = 9000\n")
    assert meshd("config", "check", MESHD_CONFIG=str(file)).stdout == f"{file}: ok\n"
    file.write_text("[node\n")
    assert meshd("config", "check", str(file)).returncode == 78
    assert meshd("--help", MESHD_CONFIG=str(file)).returncode == 0


def test_every_command_has_help_with_an_example(meshd: Any) -> None:
    from meshd_core.cli.main import COMMANDS, cli

    top = meshd("--help").stdout
    for name in COMMANDS:
        assert f"  {name} " in top
        command = cli.get_command(click.Context(cli), name)
        for words in [[name, sub] for sub in command.commands] if isinstance(command, click.Group) else [[name]]:
            assert f"meshd {' '.join(words)}" in meshd(*words, "--help").stdout.partition("\n")[2], words


def test_ls_imports_no_plugin_no_daemon_and_no_terminal(command: list[str], environment: dict[str, str]) -> None:
    words = [command[0], "-X", "importtime", *command[1:], "ls"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    heavy = {"asyncio", "pluggy", "starlette", "uvicorn", "pyghostty", "pexpect", "sqlite3"}
    assert not imported & heavy
    assert not [name for name in imported if name.startswith(("meshd_core.daemon", "meshd_core.plugins"))]


def test_times_and_texts_are_shown_for_people() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    shown = [age(f"2026-11-{when}Z", now) for when in ("23T11:59:48.5", "23T11:56:55", "23T10:00:00", "19T09:00:00")]
    assert shown == ["11s", "3m 5s", "2h", "4d 3h"]
    assert (age(None), age("rubbish"), age("2026-11-23T12:00:05Z", now)) == ("-", "?", "0s")
    assert clean("a\tb\x1b[31m\x9b\r\u202e") == "a\tb�[31m���"
    assert (cut("漢字漢字", 5), cut("short", 5)) == ("漢字…", "short")
