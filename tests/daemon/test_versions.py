"""A daemon goes by its agents' versions: in what it makes harmless, in what it presses, and after its own death."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import AnswerResult, SlotDetail
from tests.daemon.versioned_kind import install, slot


def changes(daemon: DaemonProcess, name: str) -> tuple[str, ...]:
    return tuple(daemon.inject(name, "!hello").changes)


def test_what_differs_by_version_is_taken_from_the_data_for_it(make_daemon: Any, short_tmp: Path) -> None:
    slots = slot("old", "1.4.0") + slot("new", "2.1.0-nightly.3") + slot("silent", None)
    daemon = make_daemon(slots, install(short_tmp))
    for name, version in (("old", "1.4.0"), ("new", "2.1.0-nightly.3"), ("silent", None)):
        assert daemon.wait_for(name, "idle").agent_version == version
    assert changes(daemon, "old") == ("leading_bang_neutralised",)
    assert changes(daemon, "new") == changes(daemon, "silent") == ()

    daemon.inject("new", "ask", until="submitted")
    asks = daemon.wait_for("new", "waiting").dialog
    assert asks is not None
    with pytest.raises(HttpFailure) as refused:  # no key is known that denies in this version: none is pressed
        daemon.call("POST", "/answer/new", {"dialog_id": asks.id, "choice": "deny"})
    assert refused.value.code == "not_supported"
    daemon.inject("old", "ask", until="submitted")
    asked = daemon.wait_for("old", "waiting").dialog
    assert asked is not None
    answer = daemon.call("POST", "/answer/old", {"dialog_id": asked.id, "choice": "deny"})
    assert msgspec.json.decode(answer, type=AnswerResult).closed


def test_the_version_outlives_the_daemon_and_not_the_run(make_daemon: Any, short_tmp: Path, eventually: Any) -> None:
    daemon = make_daemon(slot("old", "1.4.0"), install(short_tmp))
    daemon.wait_for("old", "idle")
    eventually(lambda: "1.4.0" in (next(daemon.state.rglob("run.json"))).read_text())
    daemon.kill()
    daemon.start()
    assert daemon.get("/slots/old", SlotDetail).agent_version == "1.4.0"
    assert changes(daemon, "old") == ("leading_bang_neutralised",)
    daemon.configure(slot("old", None))
    daemon.reload()
    daemon.call("POST", "/restart/old", {})
    assert daemon.wait_for("old", "idle").agent_version is None
    assert changes(daemon, "old") == ()
