"""The commands against a real daemon with the demo agent."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = pytest.mark.skipif(
    "demo" not in {point.name for point in entry_points(group="meshd_core.v1")},
    reason="meshd-core is not installed here, so its demo agent is not either",
)

ROOT = str(Path(__file__).parents[2])


class Lines:
    """What a process prints, gathered by a thread."""

    def __init__(self, source: IO[str]) -> None:
        self.seen: list[str] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._thread.start()

    def _read(self, source: IO[str]) -> None:
        for line in source:
            with self._changed:
                self.seen.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait(self, until: Callable[[list[str]], bool], timeout_s: float = 20.0) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: until(self.seen), timeout_s), self.seen[-20:]
            return list(self.seen)


class Running:
    """`meshd` with some words, in the background."""

    def __init__(self, words: list[str], env: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            words, env=env, cwd=cwd, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def end(self, signum: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            for lines, source in ((self.out, self.process.stdout), (self.err, self.process.stderr)):
                lines._thread.join(5)
                if source is not None:
                    source.close()
        return code


@pytest.fixture
def env(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PYTHONPATH": os.pathsep.join([ROOT, *filter(None, [environment.get("PYTHONPATH")])])}


@pytest.fixture
def start(command: list[str], env: dict[str, str], short_tmp: Path) -> Iterator[Callable[..., Running]]:
    """Start `meshd WORDS` in the background, in `short_tmp`; all are ended with the test, agents too."""
    started: list[Running] = []

    def begin(*words: str) -> Running:
        started.append(Running([*command, *words], env, short_tmp))
        return started[-1]

    yield begin
    for place in (short_tmp, short_tmp / ".meshd" / "run"):
        if (place / "meshd.sock").exists():
            words = [*command, "down", "--runtime-dir", str(place), "--timeout", "15"]
            subprocess.run(words, env=env, capture_output=True, timeout=30)
    for one in started:
        one.end(signal.SIGKILL)


@pytest.fixture
def serve(start: Callable[..., Running], short_tmp: Path) -> Callable[[], Running]:
    """Start `meshd serve` with a demo slot and wait until it is ready."""
    (short_tmp / "meshd.toml").write_text(
        '[node]\nname = "n1"\nbind = ["127.0.0.1"]\nport = 0\n'
        f'[[slots]]\nname = "demo"\nkind = "demo"\ncwd = "{short_tmp}"\n'
    )

    def begin() -> Running:
        daemon = start("serve", "--config", "meshd.toml", "--state-dir", "state")
        daemon.err.wait(lambda lines: any("admin token" in line for line in lines))
        return daemon

    return begin


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see whether agents have ended")
def test_demo_prints_three_commands_that_work_when_pasted_and_ctrl_c_ends_everything(
    start: Callable[..., Running], short_tmp: Path, env: dict[str, str]
) -> None:
    daemon = start("demo", "--port", "0")
    said = daemon.out.wait(lambda lines: any("Ctrl-C" in line for line in lines))
    curl, inject, tail = (line.strip() for line in said[said.index("In another shell, in this folder, try:") + 1 :][:3])
    clean = {key: value for key, value in env.items() if key != "MESHD_RUNTIME_DIR"}

    def paste(text: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["sh", "-c", text], env=clean, cwd=short_tmp, capture_output=True, text=True, timeout=30)

    done = paste(inject)
    assert (done.returncode, done.stdout) == (0, "echo: hello\n"), done.stderr
    assert "accepted" in done.stderr and "completed" in done.stderr
    assert "echo: hello" in paste(f"timeout 2 {tail}").stdout
    if shutil.which("curl"):
        [slot] = [slot for slot in json.loads(paste(curl).stdout)["slots"] if slot["name"] == "demo"]
    else:
        [slot] = json.loads(
            paste(inject.partition(" inject ")[0] + f" ls --json {tail.partition(' demo ')[2]}").stdout
        )["slots"]
    assert alive(slot["pid"])
    assert daemon.end(signal.SIGINT) in (0, 130)
    assert not alive(slot["pid"])


def test_tail_gives_every_line_once_though_the_daemon_is_killed(
    start: Callable[..., Running], serve: Callable[[], Running], meshd: Any
) -> None:
    daemon = serve()
    assert meshd("wait", "demo").returncode == 0
    tail = start("tail", "demo", "--since", "oldest")
    assert meshd("inject", "demo", "lines 600 200").returncode == 0
    tail.out.wait(lambda lines: "line 50" in lines)
    daemon.end(signal.SIGKILL)
    tail.err.wait(lambda lines: any("connection lost" in line for line in lines))
    serve()
    seen = tail.out.wait(lambda lines: "line 600" in lines)
    numbers = [int(line.removeprefix("line ")) for line in seen if line.startswith("line ")]
    assert numbers == list(range(1, 601))
    assert not [line for line in tail.err.seen if "gap" in line]
    assert tail.end(signal.SIGINT) == 130


def test_inject_outlives_the_daemon_that_took_the_prompt(
    start: Callable[..., Running], serve: Callable[[], Running], meshd: Any
) -> None:
    daemon = serve()
    assert meshd("wait", "demo").returncode == 0
    waiting = start("inject", "demo", "slow 2", "--until", "completed")
    waiting.err.wait(lambda lines: any(line.startswith("submitted") for line in lines))
    daemon.end(signal.SIGKILL)
    serve()
    assert waiting.process.wait(30) == 0
    stages = [line.split()[0] for line in waiting.err.seen]
    assert stages[-1] == "completed" and len(stages) == len(set(stages))


def test_down_keeps_the_agents_if_asked_and_ends_them_else(serve: Callable[[], Running], meshd: Any) -> None:
    serve()
    assert meshd("wait", "demo").returncode == 0
    pid = json.loads(meshd("show", "demo", "--json").stdout)["pid"]
    kept = meshd("down", "--keep-agents")
    assert (kept.returncode, kept.stdout) == (0, "the daemon has ended; the agents go on\n"), kept.stderr
    assert alive(pid)
    serve()
    assert json.loads(meshd("show", "demo", "--json").stdout)["pid"] == pid
    ended = meshd("down")
    assert (ended.returncode, ended.stdout) == (0, "the daemon has ended, and its agents too\n"), ended.stderr
    assert not alive(pid)
    assert meshd("down").returncode == 69


def test_a_slot_is_stopped_started_and_looked_at(serve: Callable[[], Running], meshd: Any) -> None:
    serve()
    assert meshd("wait", "demo").stdout == "idle\n"
    assert "demo>" in meshd("screen", "demo").stdout
    assert meshd("stop", "demo").stdout == "demo: stopped\n"
    refused = meshd("inject", "demo", "hi")
    assert refused.returncode == 1 and "demo" in refused.stderr
    assert meshd("start", "demo").stdout.startswith("demo: ")
    assert meshd("wait", "demo").returncode == 0
    before = json.loads(meshd("show", "demo", "--json").stdout)["pid"]
    assert meshd("restart", "demo").returncode == 0
    assert meshd("wait", "demo").returncode == 0
    assert json.loads(meshd("show", "demo", "--json").stdout)["pid"] != before
    late = meshd("inject", "demo", "slow 20", "--until", "completed", "--timeout", "1")
    assert late.returncode == 124 and "goes on" in late.stderr


NO_SLOTS = "no slots yet (see [[slots]] in meshd.toml), or none that this token reaches\n"


def test_tokens_work_over_tcp_until_they_are_revoked(serve: Callable[[], Running], meshd: Any) -> None:
    daemon = serve()
    url = next(word.strip(",") for line in daemon.err.seen for word in line.split() if word.startswith("http://"))
    none = meshd("token", "create", "--scope", "read", "--slots", "other").stdout.strip()
    for words in (["ls"], ["ls", "--mesh"]):
        shown = meshd(*words, "--url", url, MESHD_TOKEN=none)
        assert (shown.returncode, shown.stdout) == (0, NO_SLOTS)
    made = json.loads(meshd("token", "create", "--scope", "read", "--label", "t", "--json").stdout)
    assert "demo" in meshd("ls", "--url", url, MESHD_TOKEN=made["token"]).stdout
    refused = meshd("inject", "demo", "hi", "--url", url, MESHD_TOKEN=made["token"])
    assert refused.returncode == 1 and "inject" in refused.stderr
    assert made["kid"] in meshd("token", "list").stdout
    whole = meshd("token", "revoke", made["token"])  # not its id: never shown, never sent in a path
    assert whole.returncode == 2 and "meshd token list" in whole.stderr and made["token"] not in whole.stderr
    assert "no token with this id" in meshd("token", "revoke", "00000000").stderr
    assert meshd("token", "revoke", made["kid"]).returncode == 0
    gone = meshd("ls", "--url", url, "--json", MESHD_TOKEN=made["token"])
    assert (gone.returncode, json.loads(gone.stderr)["error"]["code"]) == (1, "unauthorized")


def test_what_keeps_serve_from_starting_has_its_own_exit_code(
    serve: Callable[[], Running], meshd: Any, short_tmp: Path
) -> None:
    serve()
    second = meshd("serve", "--config", str(short_tmp / "meshd.toml"), "--state-dir", str(short_tmp / "state"))
    assert (second.returncode, "Traceback" in second.stderr) == (75, False)
    bad = short_tmp / "bad.toml"
    bad.write_text("[node]\nprot = 1\n")
    wrong = meshd("serve", "--config", str(bad), "--state-dir", str(short_tmp / "other"))
    assert wrong.returncode == 78 and "prot" in wrong.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad.write_text(f'[node]\nbind = ["127.0.0.1"]\nport = {taken.getsockname()[1]}\n')
        elsewhere = ["--state-dir", str(short_tmp / "other"), "--runtime-dir", str(short_tmp / "run2")]
        in_use = meshd("serve", "--config", str(bad), *elsewhere)
    assert (in_use.returncode, "Traceback" in in_use.stderr) == (71, False)
