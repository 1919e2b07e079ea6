"""The daemon dies, and the file has changed by the time that the next one starts: what still runs lives by what it was
started with.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from tests.daemon.test_filters import PLUGIN
from tests.daemon.test_reload import changes, detail, names, slot


def code_of(daemon: DaemonProcess, path: str, body: object = None) -> str:
    with pytest.raises(HttpFailure) as failure:
        daemon.call("POST", path, body)
    return failure.value.code


def test_an_agent_of_older_settings_is_stale_until_its_next_start(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon(slot(env='{ SECRET = "sesame-1" }'))
    pid = daemon.wait_for("demo", "idle").pid
    daemon.kill()
    daemon.configure(slot(env='{ SECRET = "sesame-2" }', labels='{ a = "b" }', rows="30"))
    daemon.start()
    found = detail(daemon)
    assert (found.pid, found.config, found.labels, found.size.rows) == (pid, "stale", {"a": "b"}, 30)
    assert daemon.inject("demo", "still here").reply == "echo: still here"
    assert changes(daemon.reload(restart="changed")) == {"demo": ("restarted", ["env"])}
    assert detail(daemon).config == "live"
    daemon.kill()
    daemon.start()
    assert detail(daemon).config == "live"
    state = b"".join(path.read_bytes() for path in (short_tmp / "state").rglob("*.json") if path.is_file())
    assert b"sesame" not in state


def test_an_agent_of_another_kind_is_read_as_what_it_is(make_daemon: Any) -> None:
    daemon = make_daemon(slot())
    daemon.wait_for("demo", "idle")
    daemon.kill()
    daemon.configure(slot(kind="generic", command='["cat"]', options='{ ready = "never seen" }'))
    daemon.start()
    found = daemon.wait_for("demo", "idle")
    assert (found.config, found.kind, found.activity.state) == ("stale", "demo", "idle")
    assert daemon.inject("demo", "a demo still").reply == "echo: a demo still"
    daemon.call("POST", "/restart/demo", {})
    assert (detail(daemon).config, detail(daemon).kind) == ("live", "generic")


def test_a_slot_that_the_file_has_no_more_takes_no_prompts_and_can_be_stopped(
    make_daemon: Any, stream: Any, eventually: Callable[..., None]
) -> None:
    daemon = make_daemon(slot("gone") + slot())
    pid = daemon.wait_for("gone", "idle").pid
    prompt, key = {"text": "slow 600", "until": "submitted"}, {"Idempotency-Key": "once"}
    typed = msgspec.json.decode(daemon.call("POST", "/inject/gone", prompt, headers=key))
    queued = daemon.inject("gone", "too late", until="accepted").id
    daemon.kill()
    daemon.configure(slot())
    daemon.start()
    assert names(daemon) == ["demo", "gone"]
    found = detail(daemon, "gone")
    assert (found.config, found.pid, found.kind, found.status) == ("removed", pid, "demo", "running")
    receipt = msgspec.json.decode(daemon.call("GET", f"/injects/{queued}"))
    assert (receipt["stage"], receipt["error"]["code"]) == ("failed", "slot_removed")
    assert code_of(daemon, "/inject/gone", {"text": "no"}) == "slot_removed"
    again = msgspec.json.decode(daemon.call("POST", "/inject/gone", prompt, headers=key))
    assert again["id"] == typed["id"], "it was typed: its key says so, whatever became of the slot"
    assert code_of(daemon, "/restart/gone", {}) == "slot_removed"
    assert detail(daemon, "gone").pid == pid, "a refused restart stopped it"
    assert not daemon.reload().slots
    daemon.configure(slot() + slot("gone"))
    daemon.reload()
    assert (detail(daemon, "gone").config, detail(daemon, "gone").pid) == ("live", pid)
    daemon.kill()
    daemon.configure(slot())
    daemon.start()
    reader = stream(daemon, "gone")
    eventually(lambda: reader.events)
    daemon.call("POST", "/stop/gone", {})
    eventually(lambda: names(daemon) == ["demo"])
    eventually(lambda: {"reason": "removed"} in reader.of("bye"))
    assert not os.path.exists(f"/proc/{pid}")


def test_a_removed_agent_that_exits_is_not_started_again(make_daemon: Any, eventually: Callable[..., None]) -> None:
    daemon = make_daemon(slot("gone", restart='"always"') + slot())
    pid = daemon.wait_for("gone", "idle").pid
    daemon.kill()
    daemon.configure(slot())
    daemon.start()
    os.kill(pid or 0, 9)
    eventually(lambda: names(daemon) == ["demo"])


def test_a_removed_slot_that_is_put_back_while_its_agent_ends_is_there(make_daemon: Any, short_tmp: Path) -> None:
    """The agent ends while the reload that puts its slot back is still making other slots."""
    daemon = make_daemon(slot("gone") + slot())
    pid = daemon.wait_for("gone", "idle").pid or 0
    daemon.kill()
    daemon.configure(slot())
    daemon.start()
    assert detail(daemon, "gone").config == "removed"
    new = [f"new-{number}" for number in range(60)]
    daemon.configure("".join(slot(name, autostart="false") for name in new) + slot() + slot("gone"))

    def end() -> None:
        while not (short_tmp / "state" / "slots" / new[0]).exists():
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)

    ending = threading.Thread(target=end)
    ending.start()
    daemon.reload()
    ending.join(30)
    assert names(daemon) == [*new, "demo", "gone"]
    assert detail(daemon, "gone").config == "live"


def test_what_a_removed_slots_filters_hid_stays_hidden(
    short_tmp: Path, eventually: Callable[..., None], make_daemon: Any
) -> None:
    """They were set by a reload, and their plugin is gone at the next start: nothing may be shown in the clear."""
    site = short_tmp / "site"
    info = site / "swapper-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "swapper.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swapper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nswapper = swapper\n")
    with DaemonProcess(short_tmp, slot(), {"PYTHONPATH": str(site)}) as daemon:
        daemon.wait_for("demo", "idle")
        daemon.configure(slot(filters='["first"]'))
        daemon.reload()
        assert daemon.inject("demo", "tell the secret-word").reply == "echo: tell the [first]"
        daemon.kill()
        daemon.configure("")
        daemon.start()
        assert "[first]" in b"".join(daemon.call("GET", path) for path in ("/screen/demo", "/slots")).decode()
        daemon.kill()
        (info / "entry_points.txt").unlink()
        daemon.start()
        everything = b"".join(
            daemon.call("GET", path) for path in ("/slots", "/screen/demo", "/output/demo?since=oldest")
        )
        assert b"secret-word" not in everything
        assert b"output withheld" in everything


def test_filters_changed_over_a_crash_double_and_lose_nothing(
    short_tmp: Path, stream: Any, eventually: Callable[..., None]
) -> None:
    """A filter that holds lines back is exchanged by reloads between kills, while lines come."""
    from tests.daemon.test_reload_load import install

    install(short_tmp / "site")
    with DaemonProcess(short_tmp, slot(filters='["one"]'), {"PYTHONPATH": str(short_tmp / "site")}) as daemon:
        daemon.wait_for("demo", "idle")
        reader = stream(daemon, "demo")
        daemon.inject("demo", "lines 8000 1000", until="submitted")
        for filters in ('["one", "two"]', '["two"]', "[]", '["two", "one"]'):
            daemon.configure(slot(filters=filters))
            daemon.reload()
            daemon.kill()
            daemon.configure(slot(filters='["one"]'))
            daemon.start()
        daemon.wait_for("demo", "idle", 60)
        daemon.configure(slot())
        daemon.reload()
        wanted = [f"line {number}" for number in range(1, 8001)]
        eventually(lambda: wanted[-1] in reader.texts(), 30)
        assert [text for text in reader.texts() if text.startswith("line ")] == wanted
