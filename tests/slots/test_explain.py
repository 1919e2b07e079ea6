"""Why an activity is what it is: every rule and every source with what became of it, and nothing changed by asking."""

from meshd_core.contracts.kinds import KindProfile, Observation, Rule, Variant
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.explain import Judgement
from meshd_core.terminal.emulator import Signal
from meshd_core.types import RuleReport

PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="", signals=True, measured=("2.1",),
    variants=(Variant("<3"), Variant(">=3")),
    rules=(
        Rule("trust", "onboarding", r"Do you trust", override=True),
        Rule("login", "onboarding", r"Log in", override=True),
        Rule("old", "busy", r"loading", versions="<2"),
        Rule("busy", "busy", r"working"),
        Rule("idle", "idle", r"^> "),
        Rule("title", "idle", r"^ready$", where="title"),
    ),
)  # fmt: skip


def tracker(version: str | None = "2.1") -> ActivityTracker:
    made = ActivityTracker(PROFILE, lambda: None)
    made.set_profile(PROFILE, version)
    return made


def judge(known: ActivityTracker, screen: str, title: str = "") -> Judgement:
    return Judgement(known, screen, title, str)


def verdicts(judgement: Judgement) -> dict[str, tuple[str, str | None]]:
    return {report.rule: (report.verdict, report.by) for report in judgement.rules()}


def rule(judgement: Judgement, name: str) -> RuleReport:
    return next(report for report in judgement.rules() if report.rule == name)


def test_each_rule_has_a_verdict() -> None:
    known = tracker()
    judgement = judge(known, "loading\nworking\n> ", "ready")
    assert verdicts(judgement) == {
        "trust": ("no_match", None), "login": ("no_match", None), "old": ("other_version", None),
        "busy": ("outranked", "title"), "idle": ("earlier_rule", "busy"), "title": ("believed", None),
    }  # fmt: skip
    assert (rule(judgement, "old").matched, rule(judgement, "old").versions) == ("loading", "<2")
    assert rule(judgement, "trust").matched is None
    assert verdicts(judge(tracker("1.0"), "loading\nworking"))["old"] == ("believed", None)


def test_an_override_beats_all_and_says_so() -> None:
    known = tracker()
    known.signal(Signal(state="idle", app="x"))
    judgement = judge(known, "Do you trust\nLog in\n> ")
    assert verdicts(judgement)["trust"] == ("believed", None)
    assert verdicts(judgement)["login"] == ("earlier_rule", "trust")
    assert verdicts(judgement)["idle"] == ("overridden", "trust")
    assert [(seen.source, seen.rule, seen.verdict) for seen in judgement.sources()] == [
        ("screen", "trust", "believed"), ("signal", "osc7501-idle", "overridden"), ("screen", "idle", "overridden"),
    ]  # fmt: skip


def test_what_a_run_that_begins_only_reports_is_not_believed_yet() -> None:
    known = tracker()
    known.signal(Signal(state="idle", app="x"))
    assert [(seen.source, seen.verdict) for seen in judge(known, "a banner").sources()] == [("signal", "not_yet")]
    known.look("> ", "")
    assert [seen.verdict for seen in judge(known, "> ").sources()] == ["believed", "agrees"]


def test_a_better_source_outranks_and_an_agreeing_one_agrees() -> None:
    known = tracker()
    known.signal(Signal(state="working", app="x"))
    known.observe(Observation(source="hook", rule="h", state="idle"))
    judgement = judge(known, "working", "ready")
    assert [(seen.source, seen.verdict, seen.by) for seen in judgement.sources()] == [
        ("signal", "believed", None), ("hook", "outranked", "osc7501-working"),
        ("title", "outranked", "osc7501-working"), ("screen", "agrees", None),
    ]  # fmt: skip
    ages = [seen.age_ms for seen in judgement.sources()]
    assert ages[0] is not None and ages[0] >= 0
    assert known.unseen


def test_what_an_earlier_daemon_saw_has_no_age() -> None:
    before, known = tracker(), tracker()
    before.signal(Signal(state="working", app="x"))
    known.restore(before.activity, None)
    (seen,) = judge(known, "").sources()
    assert (seen.source, seen.age_ms, seen.verdict) == ("signal", None, "believed")


def test_asking_changes_nothing() -> None:
    known = tracker()
    known.look("working", "")
    activity = known.activity
    judge(known, "Do you trust", "ready").sources()
    assert (known.activity, known.latest["screen"].rule) == (activity, "busy")


def test_texts_are_bounded_by_their_end_and_filtered() -> None:
    known = tracker()
    profile = KindProfile(
        name="x", title="X", commands=(), install_hint="", rules=(Rule("all", "idle", r"\A[\s\S]*?end"),)
    )
    known.set_profile(profile, None)
    judgement = Judgement(known, "x" * 500 + "end", "", lambda text: text.replace("end", "***"))
    matched = rule(judgement, "all").matched
    assert matched is not None
    assert (len(matched), matched[-4:]) == (200, "x***")


def test_the_data_in_use_are_named() -> None:
    for version, measured, variants in (("2.1", True, ("<3",)), ("3.0", False, (">=3",)), (None, None, ())):
        told = judge(tracker(version), "").profile()
        assert (told.agent_version, told.measured, told.variants) == (version, measured, variants)
        assert told.measured_with == ("2.1",)
