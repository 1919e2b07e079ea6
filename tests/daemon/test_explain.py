"""`?explain=1` on a real daemon: what a state comes from, and why the next prompt is not typed now."""

from pathlib import Path
from typing import Any

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import Explanation, SlotDetail
from tests.daemon.versioned_kind import install, slot


def explain(daemon: DaemonProcess, name: str = "demo") -> Explanation:
    found = daemon.get(f"/slots/{name}?explain=1", SlotDetail).explain
    assert found is not None
    return found


def rules(told: Explanation) -> dict[str, str]:
    return {rule.rule: rule.verdict for rule in told.rules}


def test_it_is_told_only_where_it_is_asked_for(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    assert daemon.wait_for("demo", "idle").explain is None
    waited = daemon.get("/slots/demo?wait_for=idle&wait_s=5&explain=true", SlotDetail)
    assert waited.explain is not None


def test_states_and_the_queue_are_explained(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    told = explain(daemon)
    assert (told.sources[0].source, told.sources[0].verdict, told.queue.blocked_by) == ("signal", "believed", ())
    assert rules(told)["demo-idle"] == "agrees"
    assert (told.profile.kind, told.profile.measured, told.quiet_s) == ("demo", None, None)

    working = daemon.inject("demo", "slow 60", until="submitted")
    waiting = daemon.inject("demo", "next", until="accepted")
    daemon.wait_for("demo", "busy")
    told = explain(daemon)
    assert told.queue.blocked_by == ("busy",)
    assert (told.queue.length, told.queue.next, told.queue.turn) == (1, waiting.id, working.id)
    assert [rule.by for rule in told.rules if rule.verdict == "outranked"] in ([], ["osc7501-working"])

    daemon.call("POST", "/keys/demo", {"keys": ["x"]})
    told = explain(daemon)
    assert told.queue.blocked_by == ("typing", "busy")
    assert 0 < told.queue.human_s <= 15
    daemon.call("POST", "/stop/demo", {})
    told = explain(daemon)
    assert (told.queue.blocked_by, told.rules, told.sources) == (("not_running",), (), ())


def test_a_dialog_holds_the_queue(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    daemon.inject("demo", "ask", until="submitted")
    daemon.wait_for("demo", "waiting")
    told = explain(daemon)
    assert told.queue.blocked_by == ("waiting",)
    asks = next(rule for rule in told.rules if rule.rule == "demo-dialog")
    assert asks.matched is not None and asks.matched.startswith("Allow the demo to continue?")


def test_a_kind_without_evidence_waits_for_quiet(make_daemon: Any) -> None:
    daemon = make_daemon('[[slots]]\nname = "cat"\nkind = "generic"\ncommand = ["cat"]\noptions = { quiet_s = 600 }\n')
    daemon.wait_for("cat", "running")
    told = explain(daemon, "cat")
    assert (told.queue.blocked_by, told.quiet_s, told.rules) == (("quiet",), 600, ())
    assert told.silent_s < 600


def test_rules_of_another_version_are_ruled_out(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon(slot("old", "1.4.0") + slot("new", "2.0.1"), install(short_tmp))
    for name in ("old", "new"):
        daemon.wait_for(name, "idle")
    old, new = explain(daemon, "old"), explain(daemon, "new")
    assert (old.profile.measured, old.profile.variants, rules(old)["old-idle"]) == (True, ("<2",), "earlier_rule")
    assert (new.profile.measured, new.profile.variants, rules(new)["old-idle"]) == (False, (), "other_version")
    assert new.profile.measured_with == ("1.4.0",)
    assert next(rule for rule in new.rules if rule.rule == "old-idle").matched == "demo>"


def test_a_busy_agent_that_says_nothing_for_long_is_stuck(make_daemon: Any, short_tmp: Path) -> None:
    daemon = make_daemon(slot("one", "1.4.0"), install(short_tmp))  # this kind is stuck after a second
    daemon.wait_for("one", "idle")
    daemon.inject("one", "hang", until="submitted")
    found = daemon.wait_for("one", "stuck")
    assert [seen.source for seen in found.activity.evidence][:2] == ["quiet", "signal"]
    told = explain(daemon, "one")
    assert told.queue.blocked_by == ("stuck",)
    assert told.silent_s >= told.stuck_after_s == 1.0
