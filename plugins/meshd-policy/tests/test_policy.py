"""Rules one by one, and a real daemon that keeps to them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from meshd_policy.commands import policy_commands
from meshd_policy.config import Deny, LaunchRules, PolicyConfig
from meshd_policy.launches import MAX_ENV_BYTES, check_launch, read_env
from meshd_policy.prompts import Prompt, judge

from meshd_core.api import Launch, LaunchSpec
from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import PluginList, SlotDetail

PROMPT = Prompt("claude-1", "claude", {"team": "web"}, "token:ci", "please deploy to production now")


def deny(**conditions: Any) -> Deny:
    return msgspec.convert({"name": "rule", **conditions}, Deny)


@pytest.mark.parametrize(
    ("conditions", "refused"),
    [
        ({"pattern": "prod"}, True), ({"pattern": "^prod"}, False), ({"pattern": "(?i)PROD"}, True),
        ({"slots": ["claude-*"]}, True), ({"slots": ["other", "x*"]}, False),
        ({"kinds": ["claude"]}, True), ({"kinds": ["codex"]}, False),
        ({"labels": {"team": "w*"}}, True), ({"labels": {"team": "ops"}}, False), ({"labels": {"owner": "*"}}, False),
        ({"subjects": ["token:*"]}, True), ({"subjects": ["local:*"]}, False),
        ({"pattern": "prod", "except_subjects": ["token:ci"]}, False), ({"except_subjects": ["token:release"]}, True),
        ({"longer_than": 10}, True), ({"longer_than": len(PROMPT.text)}, False),
        ({"pattern": "prod", "slots": ["other"]}, False), ({"pattern": "prod", "kinds": ["claude"]}, True),
    ],
)  # fmt: skip
def test_a_prompt_is_refused_if_it_meets_every_condition(conditions: dict[str, Any], refused: bool) -> None:
    assert (judge([deny(**conditions)], PROMPT) is not None) == refused


@pytest.mark.parametrize(
    ("hours", "at", "refused"),
    [
        ("08:00-18:00", "07:59", True), ("08:00-18:00", "08:00", False), ("08:00-18:00", "17:59", False),
        ("08:00-18:00", "18:00", True), ("22:00-06:00", "23:00", False), ("22:00-06:00", "05:59", False),
        ("22:00-06:00", "06:00", True), ("22:00-06:00", "12:00", True), ("00:00-00:00", "12:00", True),
    ],
)  # fmt: skip
def test_hours_are_when_prompts_are_allowed(hours: str, at: str, refused: bool) -> None:
    now = datetime.fromisoformat(f"2026-03-01T{at}:00")
    assert (judge([deny(outside_hours=hours)], PROMPT, now) is not None) == refused


def test_a_pattern_that_takes_too_long_raises_so_that_core_refuses() -> None:
    slow = deny(pattern=r"(?:a|aa)+(?:a|aa)+(?:a|aa)+\d")
    with pytest.raises(TimeoutError):
        judge([slow], msgspec.structs.replace(PROMPT, text="a" * 5000))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"deny": [{"name": "x"}]}, "no condition"), ({"deny": [{"name": "x", "pattern": "("}]}, "'x'.*regular"),
        ({"deny": [{"name": "x", "outside_hours": "8-18"}]}, "outside_hours"), ({"deny": [{"pattern": "x"}]}, "name"),
        ({"deny": [{"name": "x", "colour": "y"}]}, "colour"), ({"launch": {"nice": 20}}, "nice"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(wrong, PolicyConfig)


def env_file(path: Path, data: bytes = b"A=1\n", mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_an_environment_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = env_file(tmp_path / "a.env", b"# keys\n\nKEY=a b=c $(id) 'x'\r\nEMPTY=\n")
    assert read_env(path) == {"KEY": "a b=c $(id) 'x'", "EMPTY": ""}
    assert read_env(tmp_path / "none.env") == {}


@pytest.mark.parametrize(
    "data",
    [b"secret-value\n", b"1A=secret-value\n", b"A B=secret-value", b"A=secret-value\0\n", b"A=\xffsecret-value\n",
     b"MESHD_X=secret-value\n", b"A=" + b"secret-value" * MAX_ENV_BYTES],
)  # fmt: skip
def test_a_wrong_environment_file_is_refused_without_a_word_of_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"a\.env") as refused:
        read_env(env_file(tmp_path / "a.env", data))
    assert "secret-value" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_an_environment_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PermissionError):
        read_env(env_file(tmp_path / "a.env", mode=mode))


def test_a_link_a_pipe_and_a_folder_are_no_environment_files(tmp_path: Path) -> None:
    env_file(tmp_path / "real.env")
    (tmp_path / "link.env").symlink_to(tmp_path / "real.env")
    os.mkfifo(tmp_path / "pipe.env", 0o600)
    (tmp_path / "folder.env").mkdir(mode=0o700)
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError, match=name):
            read_env(tmp_path / f"{name}.env")


def spec(cwd: Path) -> LaunchSpec:
    return LaunchSpec(slot="s", node="n", command=("sh",), args=(), cwd=str(cwd), env={})


def test_a_folder_outside_of_the_roots_is_refused_also_behind_a_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "src" / "shop", tmp_path / "other"
    inside.mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "src" / "way-out").symlink_to(outside)
    rules = LaunchRules(cwd_roots=(str(tmp_path / "src"),))
    check_launch(rules, spec(inside), Launch(("sh",)))
    for wrong in (outside, tmp_path / "src" / "way-out", inside / ".." / ".." / "other", tmp_path / "src-other"):
        with pytest.raises(PermissionError, match="cwd_roots"):
            check_launch(rules, spec(wrong), Launch(("sh",)))


def test_a_program_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    rules = LaunchRules(commands=("claude", "/usr/local/bin/*"))
    for good in ("claude", "/usr/local/bin/x"):
        check_launch(rules, spec(tmp_path), Launch((good,)))
    for wrong in ("sh", "/tmp/claude", "claude2"):
        with pytest.raises(PermissionError, match="commands"):
            check_launch(rules, spec(tmp_path), Launch((wrong,)))


SLOTS = """
[[slots]]
name = "demo"
kind = "demo"

[[slots]]
name = "barred"
kind = "demo"
cwd = "/"

[[plugins.policy.deny]]
name = "no production"
reason = "production is for people"
pattern = "production"

[[plugins.policy.deny]]
name = "slow"
pattern = '(?:a|aa)+(?:a|aa)+(?:a|aa)+\\d'

[plugins.policy.launch]
env_dir = "{folder}"
nice = 7
cwd_roots = ["{folder}"]
"""


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    env_file(short_tmp / "demo.env", b"DEMO_SECRET=very-secret\n")
    slots = SLOTS.format(folder=short_tmp).replace('name = "demo"\n', f'name = "demo"\ncwd = "{short_tmp}"\n')
    with DaemonProcess(short_tmp, slots) as daemon:
        daemon.wait_for("demo", "idle")
        yield daemon


def test_a_daemon_refuses_what_a_rule_is_against_and_types_the_rest(daemon: DaemonProcess) -> None:
    assert daemon.inject("demo", "hello").reply == "echo: hello"
    with pytest.raises(HttpFailure, match="production is for people") as refused:
        daemon.inject("demo", "deploy to production")
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    with pytest.raises(HttpFailure, match="production is for people"):
        daemon.inject("demo", "deploy to prod\u0007uction")  # it would be typed without the control character
    with pytest.raises(HttpFailure) as slow:
        daemon.inject("demo", "a" * 5000)
    assert slow.value.status == 403
    assert daemon.inject("demo", "still here").reply == "echo: still here"
    assert "production" not in daemon.log.read_text()
    assert not any("production" in line for line in daemon.lines("demo"))


def test_an_agent_gets_its_environment_and_priority_and_nobody_else_sees_the_secret(daemon: DaemonProcess) -> None:
    detail = daemon.get("/slots/demo", SlotDetail)
    assert detail.pid is not None
    assert b"DEMO_SECRET=very-secret" in Path(f"/proc/{detail.pid}/environ").read_bytes().split(b"\0")
    assert os.getpriority(os.PRIO_PROCESS, detail.pid) - os.getpriority(os.PRIO_PROCESS, daemon.pid) == 7
    everything = daemon.call("GET", "/slots/demo") + daemon.call("GET", "/plugins") + daemon.log.read_bytes()
    assert b"very-secret" not in everything


def test_a_start_that_the_site_is_against_fails_and_says_why(daemon: DaemonProcess, short_tmp: Path) -> None:
    with pytest.raises(HttpFailure, match="cwd_roots") as barred:
        daemon.call("POST", "/start/barred", {})
    assert barred.value.code == "start_failed"
    (short_tmp / "demo.env").chmod(0o644)
    with pytest.raises(HttpFailure, match="0600"):
        daemon.call("POST", "/restart/demo", {})
    (short_tmp / "demo.env").chmod(0o600)
    daemon.call("POST", "/start/demo", {})
    plugins = {one.name: one for one in daemon.get("/plugins", PluginList).plugins}
    assert plugins["policy"].status == "active"


def test_the_command_tells_what_the_rules_say(short_tmp: Path) -> None:
    rules = msgspec.convert({"deny": [{"name": "r", "pattern": "prod", "labels": {"team": "web"}}]}, PolicyConfig)
    group = policy_commands(rules)
    runner = CliRunner()
    good = runner.invoke(group, ["check", "s", "prod"])
    assert (good.exit_code, good.output) == (0, "allowed\n")
    bad = runner.invoke(group, ["check", "s", "prod", "--label", "team:web"])
    assert (bad.exit_code, bad.output) == (1, "refused by r: the site's rule 'r' is against it\n")
    told = runner.invoke(group, ["check", "s", "prod", "--label", "team:web", "--json"])
    assert msgspec.json.decode(told.output)["rule"] == "r"


def test_the_command_is_part_of_meshd_with_the_configuration_of_the_file(short_tmp: Path) -> None:
    config = short_tmp / "meshd.toml"
    config.write_text('[[plugins.policy.deny]]\nname = "r"\npattern = "prod"\n')
    command = [sys.executable, "-m", "meshd_core.cli", "policy", "check", "s", "production"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MESHD_CONFIG": str(config)})
    assert (done.returncode, done.stdout.split(":")[0]) == (1, "refused by r")
