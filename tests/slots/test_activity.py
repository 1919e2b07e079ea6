"""Evidence decides: in order of trust, with overrides, and `unknown` without any."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from meshd_core.clock import now_ms, time_from
from meshd_core.contracts.kinds import KindProfile, Observation, Rule
from meshd_core.slots import activity, countdown, own_start
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.explain import Judgement
from meshd_core.terminal.emulator import Signal
from meshd_core.types import DialogOption

OPTIONS = (DialogOption("accept", "Yes"), DialogOption("deny", "No"))
PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="", signals=True, stuck_after_s=5,
    rules=(
        Rule("trust", "onboarding", r"Do you trust", override=True, dialog="trust"),
        Rule("now", "waiting", r"Now or never: (.*)", override=True, dialog="approval", options=OPTIONS),
        Rule("ask", "waiting", r"(May I\?.*)", dialog="approval", options=OPTIONS),
        Rule("run", "waiting", r"run \$ (?P<command>.+)\n(Sure\?)", dialog="approval", options=OPTIONS),
        Rule("rows", "waiting", r"^1. Yes", dialog="approval", options=OPTIONS),
        Rule("busy", "busy", r"working"),
        Rule("menu", "waiting", r"^pick one", dialog="menu"),
        Rule("title-works", "busy", r"^working", where="title"),
        Rule("limit", "limited", r"retry in (?:(?P<minutes>\d+)m )?(?P<seconds>\d+)s"),
        Rule("old", "busy", r"loading", versions="<2"),
        Rule("title-idle", "idle", r"^ready$", where="title"),
        Rule("idle", "idle", r"^> "),
    ),
)  # fmt: skip


def signal(state: str, kind: str | None = None) -> Signal:
    return Signal(state=state, app="x", kind=kind)


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def tracker(changes: list[str]) -> ActivityTracker:
    made: list[ActivityTracker] = []
    on_change: Callable[[], None] = lambda: changes.append(made[0].activity.state)  # noqa: E731
    made.append(ActivityTracker(PROFILE, on_change))
    return made[0]


def test_without_evidence_it_is_unknown_never_idle(tracker: ActivityTracker, changes: list[str]) -> None:
    tracker.look("some text\nthat means nothing", "title")
    assert (tracker.activity.state, tracker.activity.evidence, changes) == ("unknown", (), [])


def test_a_signal_beats_the_title_and_the_title_the_screen(tracker: ActivityTracker) -> None:
    tracker.look("working", "ready")
    assert tracker.activity.state == "idle"
    assert tracker.activity.evidence[0].source == "title"
    tracker.signal(signal("working"))
    assert (tracker.activity.state, tracker.activity.evidence[0].rule) == ("busy", "osc7501-working")
    tracker.signal(signal("clear"))
    assert tracker.activity.state == "idle"


def test_a_screen_before_the_agent_is_ready_beats_every_signal(tracker: ActivityTracker) -> None:
    tracker.signal(signal("idle"))
    tracker.look("Do you trust this folder?", "")
    assert tracker.activity.state == "onboarding"
    assert tracker.dialog is not None
    tracker.look("> ", "")
    assert tracker.activity.state == "idle"
    assert tracker.dialog is None


def test_a_spinner_that_turns_is_no_change_of_state(tracker: ActivityTracker, changes: list[str]) -> None:
    for turn in range(6):
        tracker.observe(Observation("screen", "spinner", "busy", f"{'|/-'[turn % 3]} at work for {turn} s"))
    assert changes == ["busy"]
    tracker.observe(Observation("screen", "other", "busy", "at work"))
    assert changes == ["busy", "busy"]


def test_a_short_turn_between_two_looks_is_counted(tracker: ActivityTracker) -> None:
    tracker.signal(signal("idle"))
    before = tracker.worked
    tracker.signal(signal("working"))
    tracker.signal(signal("done"))
    tracker.signal(signal("idle"))
    assert tracker.worked > before
    assert tracker.activity.state == "idle"


def test_a_question_before_all_else_is_looked_at_before_it_is_told(
    tracker: ActivityTracker, changes: list[str]
) -> None:
    tracker.signal(signal("blocked", "permission"))
    assert (tracker.activity.state, changes) == ("unknown", [])
    tracker.look("Do you trust this folder?", "")
    assert (tracker.activity.state, changes) == ("onboarding", ["onboarding"])
    tracker.look("", "")
    assert tracker.activity.state == "unknown"
    tracker.reset()
    tracker.signal(signal("blocked", "permission"))
    tracker.look("", "")
    assert tracker.activity.state == "waiting"


def test_a_dialog_opens_with_its_words_and_another_one_is_another(tracker: ActivityTracker) -> None:
    tracker.signal(signal("working"))
    tracker.signal(signal("blocked", "permission"))
    assert (tracker.activity.state, tracker.dialog) == ("waiting", None)
    tracker.look("May I? touch x", "")
    first = tracker.dialog
    assert first is not None
    assert (first.kind, first.question, first.options) == ("approval", "May I? touch x", OPTIONS)
    tracker.look("May I? touch x", "")
    assert tracker.dialog == first
    tracker.look("May I? rm y", "")
    assert tracker.dialog is not None
    assert tracker.dialog.id != first.id
    tracker.signal(signal("working"))
    assert tracker.dialog is None


def test_a_dialog_that_no_rule_knows_is_a_dialog_all_the_same_a_moment_later(tracker: ActivityTracker) -> None:
    now = 1000.0
    with time_from(lambda: now):
        tracker.signal(signal("blocked"))
        tracker.look("something new", "")
        assert (tracker.activity.state, tracker.dialog) == ("waiting", None)
        assert tracker.words_due_s == pytest.approx(activity.WORDS_WITHIN_S)
        now += activity.WORDS_WITHIN_S + 0.01
        tracker.look("something new", "")
        assert tracker.dialog is not None
        assert tracker.dialog.kind == "question"


def test_a_question_that_is_being_drawn_is_one_dialog(tracker: ActivityTracker) -> None:
    tracker.signal(signal("working"))
    tracker.signal(Signal(state="blocked", app="x", kind="permission", message="approve Bash: touch x"))
    tracker.look("half a scr", "")
    assert (tracker.activity.state, tracker.dialog) == ("waiting", None)
    tracker.look("May I? touch x", "")
    assert tracker.dialog is not None
    assert (tracker.dialog.id[:3], tracker.dialog.question) == ("d1-", "May I? touch x")


def test_a_question_on_the_screen_keeps_its_words_when_the_agents_api_has_others(tracker: ActivityTracker) -> None:
    tracker.look("Now or never: delete it?", "")
    before = tracker.dialog
    tracker.observe(
        Observation(
            "api", "status", "waiting", dialog_kind="approval", question="Allow?", command="rm", options=OPTIONS
        )
    )
    assert before is not None
    assert tracker.dialog is not None
    assert (tracker.dialog.id, tracker.dialog.command) == (before.id, "rm")


def test_silence_while_busy_is_stuck_until_something_moves(tracker: ActivityTracker) -> None:
    tracker.signal(signal("working"))
    tracker.silent(4)
    assert tracker.activity.state == "busy"
    tracker.silent(6)
    assert tracker.activity.state == "stuck"
    tracker.silent(0)
    assert tracker.activity.state == "busy"


def test_the_agents_own_api_counts_between_signal_and_title(tracker: ActivityTracker) -> None:
    tracker.look("> ", "")
    tracker.observe(Observation("api", "status", "busy"))
    assert tracker.activity.state == "busy"
    tracker.signal(signal("idle"))
    assert tracker.activity.state == "idle"


def test_a_rule_holds_for_its_versions_only(tracker: ActivityTracker) -> None:
    tracker.look("loading", "")
    assert tracker.activity.state == "busy"
    tracker.set_profile(PROFILE, "2.1.330")
    tracker.look("loading", "")
    assert tracker.activity.state == "unknown"


def test_a_screen_that_is_emptied_to_be_drawn_anew_changes_nothing(
    tracker: ActivityTracker, changes: list[str]
) -> None:
    now = 100.0
    with time_from(lambda: now):
        tracker.look("> ", "")
        tracker.look("", "")
        now += activity.EMPTY_WITHIN_S / 2
        tracker.look("", "a new title")
        tracker.look("banner\n> ", "")
        assert changes == ["idle"]
        tracker.look("", "")
        now += activity.EMPTY_WITHIN_S
        tracker.silent(5)
        assert changes == ["idle", "unknown"]
        tracker.look("May I? touch x", "")
        tracker.look("", "")
        assert changes == ["idle", "unknown", "waiting", "unknown"]


def test_idleness_is_not_believed_before_the_screen_shows_it_unless_no_rule_sees_it_there(
    tracker: ActivityTracker, changes: list[str]
) -> None:
    now = 100.0
    with time_from(lambda: now):
        for screen, seen in (("banner\n> ", ["idle"]), ("an input box that no rule knows", ["idle"])):
            tracker.reset()
            changes.clear()
            tracker.look("Do you trust", "")
            tracker.look("banner", "")
            tracker.signal(signal("idle"))
            tracker.observe(Observation("api", "status", "idle"))
            assert changes == ["onboarding", "unknown"]
            assert not any(tracker.counts(one) for one in tracker.latest.values())
            now += own_start.BOX_WITHIN_S - 0.1
            tracker.look(screen, "")
            now += 0.2
            tracker.silent(5)
            assert changes == ["onboarding", "unknown", *seen]
            tracker.look("banner", "")
            assert tracker.activity.state == "idle"


def test_work_that_only_signals_tell_of_is_of_the_agents_own_start_until_it_was_idle_for_long_enough(
    changes: list[str],
) -> None:
    made: list[ActivityTracker] = []
    profile = msgspec.structs.replace(PROFILE, first_idle_s=0.5)
    made.append(ActivityTracker(profile, lambda: changes.append(made[0].activity.state)))
    tracker, now = made[0], 100.0
    with time_from(lambda: now):
        tracker.look("> ", "")
        tracker.signal(signal("working"))
        tracker.signal(signal("idle"))
        assert (set(changes), tracker.worked) == ({"idle"}, 0)
        now += 0.6
        tracker.signal(signal("working"))
        assert (changes[-1], tracker.worked > 0) == ("busy", True)
        tracker.reset()
        tracker.look("working", "")  # the screen shows it
        tracker.signal(signal("working"))
        assert tracker.activity.state == "busy"


def test_a_rule_of_the_agents_start_counts_no_longer_once_that_is_over(changes: list[str]) -> None:
    made: list[ActivityTracker] = []
    loading = Rule("loading", "unknown", r"\A> ", override=True, at_start=True)
    profile = msgspec.structs.replace(PROFILE, rules=(loading, *PROFILE.rules), first_idle_s=0.5)
    made.append(ActivityTracker(profile, lambda: changes.append(made[0].activity.state)))
    tracker, now = made[0], 100.0
    with time_from(lambda: now):
        tracker.look("> ", "")
        assert tracker.activity.state == "unknown"
        tracker.look("banner\n> ", "")
        now += 0.4
        tracker.look("> ", "")
        assert changes == ["unknown", "idle", "unknown"]
        tracker.look("banner\n> ", "")
        now += 0.4  # Idle for 0.8 s in all, but never for 0.5 s.
        tracker.look("> ", "")
        assert tracker.activity.state == "unknown"
        tracker.look("banner\n> ", "")
        now += 0.6
        tracker.look("> ", "")
        assert tracker.activity.state == "idle"
        verdicts = {one.rule: one.verdict for one in Judgement(tracker, "> ", "", str).rules()}
        assert (verdicts["loading"], verdicts["idle"]) == ("too_late", "believed")


def test_a_screen_that_only_a_person_gets_past_begins_the_agents_own_start_anew(changes: list[str]) -> None:
    made: list[ActivityTracker] = []
    profile = msgspec.structs.replace(PROFILE, first_idle_s=0.5)
    made.append(ActivityTracker(profile, lambda: changes.append(made[0].activity.state)))
    tracker, now = made[0], 100.0
    with time_from(lambda: now):
        tracker.signal(signal("idle"))
        for _ in range(2):  # looked at twice, as after a resize
            tracker.look("Do you trust", "")
            now += 30
        tracker.look("banner", "")  # it is gone, and the input box isn't drawn yet
        tracker.signal(signal("idle"))
        assert changes == ["onboarding", "unknown"]
        tracker.look("> ", "")
        now += 0.1
        tracker.look("Do you trust", "")  # another one
        now += 30
        tracker.look("> ", "")
        tracker.signal(signal("working"))
        tracker.signal(signal("idle"))
        assert ("busy" in changes, changes[-1], tracker.worked) == (False, "idle", 0)
        now += own_start.BOX_WITHIN_S
        tracker.signal(signal("working"))
        assert changes[-1] == "busy"


def test_the_same_state_keeps_its_since_and_makes_no_event(tracker: ActivityTracker, changes: list[str]) -> None:
    tracker.signal(signal("working"))
    since = tracker.activity.since
    tracker.signal(signal("working"))
    assert (tracker.activity.since, changes) == (since, ["busy"])


def test_a_dialogs_command_is_the_agents_own_word_for_it_else_what_the_screen_shows(tracker: ActivityTracker) -> None:
    tracker.look("run $ rm -r some…\nSure?", "")
    assert tracker.dialog is not None
    assert (tracker.dialog.question, tracker.dialog.command) == ("Sure?", "rm -r some…")
    # The agent's log knows what runs, and not that it waits.
    tracker.observe(Observation("api", "log", "busy", command="rm -r something/long"))
    tracker.signal(signal("blocked", "permission"))
    tracker.look("run $ rm -r some…\nSure?", "")
    assert tracker.dialog is not None
    assert (tracker.activity.state, tracker.dialog.command) == ("waiting", "rm -r something/long")


def until(tracker: ActivityTracker, screen: str) -> float:
    """How many seconds the limit goes on, by what the tracker makes of `screen` now."""
    tracker.look(screen, "")
    assert (tracker.activity.state, tracker.activity.until) != ("limited", None)
    assert tracker.activity.until is not None
    return (datetime.fromisoformat(tracker.activity.until) - datetime.now(UTC)).total_seconds()


def test_a_limit_has_the_end_that_the_screen_tells(tracker: ActivityTracker) -> None:
    assert until(tracker, "retry in 12s") == pytest.approx(12, abs=1)
    end = tracker.activity.until
    for screen in ("retry in 12s", "retry in 11s", "⠋ retry in 11s"):  # drawn anew, and counted down
        assert until(tracker, screen) == pytest.approx(12, abs=1)
    assert tracker.activity.until == end
    assert until(tracker, "retry in 1m 30s") == pytest.approx(90, abs=1)


def test_seconds_that_are_drawn_once_do_not_move_the_end(tracker: ActivityTracker) -> None:
    tracker.look("retry in 5s", "")
    end = tracker.activity.until
    with pytest.MonkeyPatch.context() as patch:
        later = now_ms() + 4_500
        patch.setattr(countdown, "now_ms", lambda: later)
        tracker.look("⠋ retry in 5s", "")
        assert tracker.activity.until == end
        tracker.look("> ", "")
        tracker.look("retry in 5s", "")
        assert tracker.activity.until != end


@pytest.mark.parametrize("number", ["9" * 400, "1" * 5000])
def test_an_absurd_time_is_bounded(tracker: ActivityTracker, number: str) -> None:
    assert until(tracker, f"retry in {number}s") < 367 * 86_400


def test_a_menu_is_no_proof_that_a_prompt_was_taken() -> None:
    tracker = ActivityTracker(PROFILE, lambda: None)
    tracker.look("> ", "")
    before = tracker.worked
    tracker.look("pick one", "")
    assert (tracker.activity.state, tracker.worked) == ("waiting", before)
    tracker.look("> ", "")
    tracker.look("May I?", "")
    assert tracker.worked == before + 1


def test_work_that_only_the_title_tells_of_for_a_moment_is_seen() -> None:
    tracker = ActivityTracker(PROFILE, lambda: None)
    tracker.look("> ", "ready")
    before = tracker.worked
    tracker.titled("working")
    tracker.titled("ready")  # idle is for the next look to say, with the screen at hand
    assert (tracker.activity.state, tracker.worked) == ("busy", before + 1)
    tracker.look("> ", "ready")
    assert tracker.activity.state == "idle"


def asks(key: str | None, command: str | None) -> Observation:
    return Observation("api", "log", "waiting", dialog_kind="approval", question="Allow bash?", command=command,
                       options=OPTIONS, dialog_key=key)  # fmt: skip


def open_id(tracker: ActivityTracker) -> str:
    assert tracker.dialog is not None
    return tracker.dialog.id


def test_a_question_in_the_same_words_for_another_request_is_another_dialog(tracker: ActivityTracker) -> None:
    tracker.observe(asks("per_1", "ls"))
    first = open_id(tracker)
    tracker.observe(asks("per_1", "ls"))
    assert open_id(tracker) == first
    tracker.observe(asks("per_2", "ls"))
    assert open_id(tracker) != first


def test_another_command_is_another_dialog(tracker: ActivityTracker) -> None:
    tracker.observe(asks(None, "touch a"))
    first = open_id(tracker)
    tracker.observe(asks(None, "rm -r b"))
    assert tracker.dialog is not None
    assert (open_id(tracker) != first, tracker.dialog.command) == (True, "rm -r b")
    tracker.look("run $ rm -r x\nSure?", "")
    first = open_id(tracker)
    tracker.reset()
    tracker.look("run $ rm -r x\nSure?", "")
    assert open_id(tracker) != first


@pytest.mark.parametrize(("drawn", "whole"), [("rm  -r some…", "rm -r some/x"), ("echo a |", "echo a |\n  wc")])
def test_a_question_that_is_signalled_drawn_and_then_reported_is_one_dialog(
    tracker: ActivityTracker, drawn: str, whole: str
) -> None:
    tracker.signal(signal("working"))
    tracker.signal(signal("blocked", "permission"))
    tracker.look(f"run $ {drawn}\nSure?", "")
    first = open_id(tracker)
    tracker.observe(Observation("api", "log", "busy", command=whole, dialog_key="call_1"))
    assert tracker.dialog is not None
    assert (open_id(tracker), tracker.dialog.command) == (first, whole)
    tracker.observe(Observation("api", "log", "busy", command="rm -r other", dialog_key="call_2"))
    assert open_id(tracker) != first


def test_a_whole_command_on_the_screen_that_goes_on_with_more_is_another(tracker: ActivityTracker) -> None:
    tracker.look("run $ rm -r x\nSure?", "")
    first = open_id(tracker)
    tracker.look("run $ rm -r x/y\nSure?", "")
    assert open_id(tracker) != first


def test_a_log_that_still_tells_of_the_call_before_gives_the_next_question_no_command(
    tracker: ActivityTracker,
) -> None:
    tracker.observe(Observation("api", "log", "busy", command="touch a", dialog_key="call_1"))
    tracker.signal(signal("blocked", "permission"))
    tracker.look("May I? once", "")
    assert tracker.dialog is not None
    assert tracker.dialog.command == "touch a"
    tracker.look("", "")
    tracker.signal(signal("working"))
    tracker.signal(signal("blocked", "permission"))
    tracker.look("May I? once", "")
    assert tracker.dialog.command is None
    second = open_id(tracker)
    tracker.observe(Observation("api", "log", "busy", command="rm -r b", dialog_key="call_2"))
    assert (open_id(tracker), tracker.dialog.command) == (second, "rm -r b")


@pytest.mark.parametrize("screen", ["1. Yes", "pick one"])
def test_a_signal_that_comes_late_leaves_the_open_dialog_as_it_is(tracker: ActivityTracker, screen: str) -> None:
    tracker.look(screen, "")
    first = tracker.dialog
    assert first is not None
    kind = "permission" if first.kind == "approval" else None
    tracker.signal(signal("blocked", kind))
    assert tracker.dialog == first
    tracker.look(screen, "")
    assert tracker.dialog == first


def test_a_turn_that_ends_for_want_of_a_login_is_over_and_asks_for_nothing(tracker: ActivityTracker) -> None:
    """claude 2.1.330 after a 403: it says `blocked`, and is at its prompt."""
    tracker.signal(signal("idle"))
    tracker.signal(signal("working"))
    for _ in range(2):
        tracker.signal(signal("blocked", "auth"))
        tracker.look("> ", "")
        assert (tracker.activity.state, tracker.turn_over, tracker.dialog) == ("idle", True, None)
    tracker.signal(signal("working"))
    assert tracker.activity.state == "busy"


def test_a_turn_too_short_for_a_signal_of_work_is_over_too(tracker: ActivityTracker) -> None:
    tracker.signal(signal("idle"))
    worked = tracker.worked
    words = "Please run /login · API Error: 403 not allowed"
    tracker.signal(Signal(state="blocked", app="x", kind="auth", message=words))
    tracker.look("> ", "")
    assert (tracker.activity.state, tracker.turn_over, tracker.dialog) == ("idle", True, None)
    assert tracker.worked > worked


@pytest.mark.parametrize("before", ["idle", "blocked"])
def test_a_login_that_is_asked_for_without_any_work_is_no_idleness(tracker: ActivityTracker, before: str) -> None:
    tracker.signal(signal(before))
    tracker.signal(signal("blocked", "auth"))
    tracker.look("log in", "")
    assert tracker.activity.state == "waiting"


@pytest.mark.parametrize("unseen", [False, True])
def test_a_menu_that_the_agents_own_channel_tells_of_first_is_no_work(tracker: ActivityTracker, unseen: bool) -> None:
    tracker.signal(signal("idle"))
    if not unseen:
        tracker.look("> ", "")
    before = tracker.worked
    tracker.signal(Signal(state="clear", app="x"))
    tracker.observe(Observation("api", "log", "waiting", dialog_kind="menu"))
    tracker.look("pick one", "")
    assert (tracker.activity.state, tracker.worked) == ("waiting", before)
    assert tracker.dialog is not None
    assert tracker.dialog.kind == "menu"
