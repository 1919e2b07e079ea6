"""What a reload changes at once, what waits for a start, and what refuses it: docs/protocol.md, section 6."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import ErrorAnswer, PluginList, ReloadReport, SlotDetail, SlotList


def slot(name: str = "demo", kind: str = "demo", **keys: str) -> str:
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[[slots]]\nname = "{name}"\nkind = "{kind}"\n{more}\n'


def changes(report: ReloadReport) -> dict[str, tuple[str, list[str]]]:
    return {change.slot: (change.change, change.settings) for change in report.slots}


def names(daemon: DaemonProcess) -> list[str]:
    return [one.name for one in msgspec.json.decode(daemon.call("GET", "/slots"), type=SlotList).slots]


def detail(daemon: DaemonProcess, name: str = "demo") -> SlotDetail:
    return daemon.get(f"/slots/{name}", SlotDetail)


def refusal(daemon: DaemonProcess, **request: Any) -> ErrorAnswer:
    with pytest.raises(HttpFailure) as failure:
        daemon.reload(**request)
    return msgspec.json.decode(failure.value.body, type=ErrorAnswer)


def test_labels_and_policies_count_at_once_and_a_command_from_the_next_start(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    pid = daemon.wait_for("demo", "idle").pid
    daemon.configure(slot(labels='{ team = "web" }', restart='"never"', rows="30", args='["--new"]', env='{ A = "1" }'))
    report = daemon.reload()
    assert changes(report) == {"demo": ("stale", ["restart", "labels", "rows", "args", "env"])}
    found = detail(daemon)
    assert (found.config, found.pid, found.labels) == ("stale", pid, {"team": "web"})
    assert (found.size.rows, found.settings.restart, found.settings.args, found.settings.env) == (30, "never", [], [])
    assert daemon.inject("demo", "still the old one").reply == "echo: still the old one"
    assert changes(daemon.reload())["demo"][0] == "stale"  # as long as nobody starts it anew
    daemon.configure(slot(labels='{ team = "web" }', restart='"never"', rows="30"))
    assert changes(daemon.reload()) == {"demo": ("updated", [])}  # the file is again what runs
    assert detail(daemon).config == "live"
    daemon.configure(slot(env='{ A = "1" }'))
    daemon.reload()
    daemon.call("POST", "/restart/demo", {})
    found = detail(daemon)
    assert (found.config, found.settings.env, found.size.rows) == ("live", ["A"], 40)
    assert found.pid != pid
    assert not daemon.reload().slots


def test_restart_changed_restarts_what_is_stale_and_nothing_else(make_daemon: Any) -> None:
    daemon = make_daemon(slot() + slot("other"))
    pids = {name: daemon.wait_for(name, "idle").pid for name in ("demo", "other")}
    daemon.configure(slot(env='{ A = "1" }') + slot("other", labels='{ a = "b" }'))
    report = daemon.reload(restart="changed")
    assert changes(report) == {"demo": ("restarted", ["env"]), "other": ("updated", ["labels"])}
    assert detail(daemon).config == "live"
    assert detail(daemon).pid != pids["demo"]
    assert detail(daemon, "other").pid == pids["other"]


def test_times_of_a_kind_count_at_once_and_its_other_options_from_the_next_start(make_daemon: Any) -> None:
    daemon = make_daemon(slot("cat", "generic", command='["cat"]', options="{ quiet_s = 3600.0 }"))
    daemon.inject("cat", "waits", until="accepted")
    pid = detail(daemon, "cat").pid
    daemon.configure(slot("cat", "generic", command='["cat"]', options="{ quiet_s = 0.1 }"))
    assert changes(daemon.reload()) == {"cat": ("updated", ["options"])}
    assert daemon.inject("cat", "both are typed").stage == "entered"
    assert detail(daemon, "cat").pid == pid
    daemon.configure(slot("cat", "generic", command='["cat"]', options='{ quiet_s = 0.1, paste = "bracketed" }'))
    assert changes(daemon.reload()) == {"cat": ("stale", ["options"])}


def test_slots_come_in_the_files_order_and_go(make_daemon: Any, stream: Any, eventually: Callable[..., None]) -> None:
    daemon = make_daemon(slot())
    daemon.configure(slot("first") + slot() + slot("last", autostart="false"))
    assert changes(daemon.reload()) == {"first": ("added", []), "last": ("added", [])}
    assert names(daemon) == ["first", "demo", "last"]
    daemon.wait_for("first", "idle")
    assert daemon.inject("first", "hello").reply == "echo: hello"
    assert detail(daemon, "last").status == "stopped"
    reader = stream(daemon, "first")
    eventually(lambda: "echo: hello" in reader.texts())
    daemon.configure(slot())
    error = refusal(daemon).error
    assert (error.code, error.details) == ("slots_still_running", {"slots": ["first"]})
    assert names(daemon) == ["first", "demo", "last"], "a refused reload changed something"
    pid = detail(daemon, "first").pid
    assert changes(daemon.reload(stop_removed=True)) == {"first": ("removed", []), "last": ("removed", [])}
    assert names(daemon) == ["demo"]
    assert not os.path.exists(f"/proc/{pid}")
    with pytest.raises(HttpFailure, match="slot_not_found"):
        daemon.call("GET", "/slots/first")
    eventually(lambda: reader.of("bye") == [{"reason": "removed"}])
    daemon.configure(slot() + slot("first"))
    daemon.reload()  # the name comes back, and with it its history
    daemon.wait_for("first", "idle")
    assert daemon.inject("first", "again").reply == "echo: again"
    assert [line for line in daemon.lines("first") if "echo" in line] == ["echo: hello", "echo: again"]


def test_nodes_that_come_change_and_go_are_told(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    run = [sys.executable, "-m", "meshd_core.cli", "reload", "--runtime-dir", str(daemon.runtime)]

    def told(text: str) -> list[str]:
        daemon.configure(slot() + text)
        done = subprocess.run(run, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    node = '[[nodes]]\nname = "{}"\nurl = "http://127.0.0.1:{}"\n'
    assert told(node.format("a", 1) + node.format("b", 1)) == ["node a: added", "node b: added"]
    assert told(node.format("a", 2) + node.format("b", 1)) == ["node a: changed at once"]
    assert told(node.format("b", 1)) == ["node a: removed"]
    assert told(node.format("b", 1)) == ["no slot and no node has changed"]
    daemon.configure(slot())
    assert msgspec.to_builtins(daemon.reload().nodes) == [{"node": "b", "change": "removed"}]


def test_a_bad_file_changes_nothing_and_says_everything_at_once(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon(slot())
    daemon.wait_for("demo", "idle")
    before = daemon.call("GET", "/slots/demo")
    daemon.configure(
        slot(labels='{ a = "b" }', filters='["nobody"]', rigt="1") + slot("two", "no-such-kind")
        + '[plugins.generic]\nkey = 1\n\n[[nodes]]\nname = "n"\nurl = "ftp://x"\ntoken = { file = "missing" }\n\n'
        + '[auth]\nproviders = ["nobody"]\n\n[sinks.s]\nplugin = "no-such-sink"\n',
        node='port = 0\nrequired_plugins = ["gone"]',
    )  # fmt: skip
    error = refusal(daemon).error
    assert error.code == "config_invalid"
    assert error.hint == f"'meshd config check {daemon.config}' says the same"
    said = [f"{problem['place']}: {problem['reason']}" for problem in error.details["problems"]]
    for part in (
        "required_plugins", "filter", "unknown key", "no-such-kind", "plugins.generic", "ftp", "missing", "providers",
        "no-such-sink",
    ):  # fmt: skip
        assert [text for text in said if part in text or part.replace("ftp", "URL of a node") in text], (part, said)
    daemon.config.write_text("= this is no toml")
    assert "is not TOML" in refusal(daemon).error.details["problems"][0]["reason"]
    daemon.config.unlink()
    assert "no such file" in refusal(daemon).error.details["problems"][0]["reason"]
    assert daemon.call("GET", "/slots/demo") == before
    daemon.configure(slot("two"))
    os.chmod(daemon.config, 0)
    if os.geteuid():  # root reads it all the same
        assert refusal(daemon).error.code == "config_invalid"


def test_what_only_a_restart_applies_is_named_until_it_comes(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    more = '[plugins.generic]\nenabled = false\n\n[http]\nallowed_hosts = ["mine.example"]\n'
    daemon.configure(slot() + more, node="port = 1\nmesh_port = 2")
    for _ in range(2):
        report = daemon.reload()
        assert report.needs_restart == ["node.port", "node.mesh_port", "plugins.generic"]
    assert {one.name: one.status for one in daemon.get("/plugins", PluginList).plugins}["generic"] == "active"


def test_hosts_origins_and_providers_count_at_once(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    host = {"Host": "mine.example"}
    assert daemon.exchange("GET", "/slots", headers=host)[0] == 421
    daemon.configure(slot() + '[http]\nallowed_hosts = ["mine.example"]\nallowed_origins = ["https://a.example"]\n')
    daemon.reload()
    assert daemon.exchange("GET", "/slots", headers=host)[0] == 200
    assert daemon.exchange("GET", "/slots", headers={"Origin": "https://a.example"})[0] == 200
    daemon.configure(slot() + '[auth]\nproviders = ["none"]\n')
    daemon.reload()
    assert daemon.exchange("GET", "/slots", headers={"Authorization": ""})[0] == 200
    assert daemon.exchange("GET", "/slots", headers=host)[0] == 421
    daemon.configure(slot())
    daemon.reload()
    assert daemon.exchange("GET", "/slots", headers={"Authorization": ""})[0] == 401


def test_a_hangup_reloads_and_the_log_says_what_became_of_it(make_daemon: Any, eventually: Callable[..., None]) -> None:
    daemon = make_daemon(slot())
    daemon.configure(slot() + slot("more", autostart="false"))
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(lambda: names(daemon) == ["demo", "more"])
    eventually(lambda: '"message": "configuration reloaded"' in daemon.log.read_text())
    daemon.config.write_text("[[slots]]\nname = 3\n")
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(lambda: "configuration not reloaded" in daemon.log.read_text())
    assert "slots[0].name" in daemon.log.read_text()
    assert names(daemon) == ["demo", "more"]


def test_a_slot_that_can_not_be_made_refuses_all_of_it(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon(slot())
    (short_tmp / "state" / "slots" / "blocked").write_text("not a folder")
    daemon.configure(slot(labels='{ a = "b" }') + slot("first") + slot("blocked"))
    error = refusal(daemon).error
    assert error.code == "overloaded"
    assert "blocked" in error.message
    assert (names(daemon), detail(daemon).labels) == (["demo"], {})
    (short_tmp / "state" / "slots" / "blocked").unlink()
    daemon.reload()
    assert names(daemon) == ["demo", "first", "blocked"]


def test_reloads_at_once_and_lifecycle_commands_between_leave_what_the_last_file_says(
    make_daemon: Any, eventually: Callable[..., None]
) -> None:
    daemon = make_daemon(slot())
    chance, over, odd = random.Random(7), threading.Event(), []

    def hammer(work: Callable[[], None]) -> None:
        while not over.is_set():
            try:
                work()
            except HttpFailure as failure:
                if failure.code not in (
                    "slot_not_found", "slot_already_running", "slot_not_running", "slot_removed", "slots_still_running",
                ):  # fmt: skip
                    odd.append(str(failure))

    def command() -> None:
        name, what = chance.choice(["demo", "more"]), chance.choice(["start", "stop", "restart"])
        daemon.call("POST", f"/{what}/{name}", {})

    threads = [threading.Thread(target=hammer, args=(command,)) for _ in range(3)]
    threads += [threading.Thread(target=hammer, args=(lambda: daemon.reload(restart="changed") and None,))]
    for thread in threads:
        thread.start()
    for number in range(40):
        env = f'{{ N = "{number // 4}" }}'
        daemon.configure(slot(env=env) + (slot("more", env=env) if number % 2 else ""))
        daemon.reload(stop_removed=True)
    over.set()
    for thread in threads:
        thread.join(60)
    assert not odd
    daemon.reload(restart="changed")
    eventually(lambda: names(daemon) == ["demo", "more"])
    for name in ("demo", "more"):
        if detail(daemon, name).pid is None:
            daemon.call("POST", f"/start/{name}", {})
        daemon.wait_for(name, "idle")
        assert detail(daemon, name).config == "live"
        assert daemon.inject(name, f"hello {name}").reply == f"echo: hello {name}"


def test_a_slot_that_can_not_start_is_a_warning_and_is_there(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    daemon.configure(slot() + slot("gone", "generic", command='["no-such-program"]'))
    report = daemon.reload()
    assert changes(report)["gone"] == ("added", [])
    assert "no-such-program" in report.warnings[0]
    assert detail(daemon, "gone").status == "failed"


def test_a_restart_that_no_start_could_follow_stops_nothing(make_daemon: Any) -> None:
    daemon = make_daemon(slot("cat", "generic", command='["cat"]'))
    pid = detail(daemon, "cat").pid
    daemon.configure(slot("cat", "generic", command='["no-such-program"]'))
    report = daemon.reload(restart="changed")
    assert changes(report) == {"cat": ("stale", ["command"])}
    assert "no-such-program" in report.warnings[0]
    with pytest.raises(HttpFailure, match="start_failed"):
        daemon.call("POST", "/restart/cat", {})
    assert (detail(daemon, "cat").pid, detail(daemon, "cat").status) == (pid, "running")


def test_the_command_tells_people_and_programs(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    run = [sys.executable, "-m", "meshd_core.cli", "reload", "--runtime-dir", str(daemon.runtime)]
    daemon.configure(slot(labels='{ a = "b" }') + slot("more", autostart="false"), node="port = 7")
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "demo: changed at once (labels)", "more: added", "only a restart of the daemon applies: node.port",
    ]  # fmt: skip
    daemon.configure(slot(bogus="1"))
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "slots[0] (demo).bogus: unknown key" in done.stderr
    done = subprocess.run([*run, "--json"], capture_output=True, text=True, timeout=60)
    assert msgspec.json.decode(done.stderr.encode(), type=ErrorAnswer).error.code == "config_invalid"
    daemon.configure(slot("more"))
    done = subprocess.run([*run, "--stop-removed", "--json"], capture_output=True, text=True, timeout=60)
    assert "removed" in changes(msgspec.json.decode(done.stdout.encode(), type=ReloadReport))["demo"]
