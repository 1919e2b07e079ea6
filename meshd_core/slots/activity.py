"""What an agent is doing: observations from several sources, fused in order of trust.

Signals and the agent's own API know best, but not the screens before it is ready (trust, login, keys): for those a
screen rule marked `override` wins. No evidence is `unknown`, never `idle`. Source of the order: measurements of the
real CLIs, docs/architecture.md.
"""

from collections.abc import Callable, Mapping

import msgspec

from meshd_core.clock import monotonic, rfc3339
from meshd_core.contracts.kinds import MENU, KindProfile, Observation, Rule
from meshd_core.slots.countdown import Countdown
from meshd_core.slots.dialog_identity import DialogIdentity
from meshd_core.slots.own_start import OwnStart
from meshd_core.slots.screen_rules import CompiledRule, observed, source_of
from meshd_core.slots.versions import rule_holds
from meshd_core.terminal.emulator import Signal
from meshd_core.types import Activity, ActivityState, Dialog, Evidence, Source

TRUST: tuple[Source, ...] = ("signal", "api", "hook", "title", "screen")

_SIGNAL_STATES: dict[str, ActivityState] = {
    "idle": "idle",
    "done": "idle",
    "error": "idle",  # the turn is over; measured: codex sends idle after it
    "working": "busy",
    "blocked": "waiting",
}
_NO_LOGIN = "osc7501-blocked-auth"
"""The rule by which a turn ended for want of a login: claude calls that `blocked`, and is at its prompt again."""
_FAILED_REQUEST = "API Error"
"""In claude's words for why it is blocked."""
_MATCHED_LIMIT = 200
_WORDLESS: tuple[Source, ...] = ("signal", "title")
_ADVICE = "answer what is on the agent's screen, with `meshd attach`"
EMPTY_WITHIN_S = 1.0
"""A screen that was emptied has something on it again so soon (measured with opencode: 0.62 s), or it stays empty."""
WORDS_WITHIN_S = 1.5
"""So long a question without words is no dialog: the screen that has them is being drawn, or the API that has them
(measured: codex draws it 0.9 s after it says that it is blocked, opencode's API tells 30 ms after its screen)."""
UNKNOWN = Activity(state="unknown", since=rfc3339(0), confidence=0.0)


class ActivityTracker:
    """One slot's activity. `on_change(activity, dialog)` is called after each change of state or dialog."""

    def __init__(self, profile: KindProfile, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._latest: dict[Source, Observation] = {}
        self._made_at: dict[Source, float] = {}
        self._override: Observation | None = None
        self._countdown = Countdown()
        self._stuck = False
        self._unseen = False
        self._signalled = False
        self._identity = DialogIdentity()
        self._wordless_since: float | None = None
        self._emptied: tuple[float, str] | None = None
        self.activity = UNKNOWN
        self.dialog: Dialog | None = None
        self.option_keys: Mapping[str, str] = {}
        """Of the open dialog, by option id: keys that the dialog itself names."""
        self.worked = 0
        """Counts the times that the agent was seen to begin or to finish work: proof that a prompt was taken."""
        self.set_profile(profile, None)
        self.reset()

    def set_profile(self, profile: KindProfile, version: str | None) -> None:
        """Use `profile`'s rules, those that hold for the agent's `version` if it is known."""
        self.profile, self.version = profile, version
        rules = [rule for rule in profile.rules if rule_holds(rule, version)]
        self._screen_rules = [CompiledRule(rule) for rule in rules]
        self._draws_idle = any(rule.state == "idle" for rule in rules)
        self.has_evidence = profile.signals or profile.api_complete or self._draws_idle
        """Whether this kind can ever be seen idle; if not, quiet counts as ready for typing."""

    def reset(self) -> None:
        """A new run begins, or the run ended: nothing is known any more."""
        self._latest.clear()
        self._made_at.clear()
        self._override = None
        self._stuck = self._signalled = False
        self._wordless_since = self._emptied = None
        self._start = OwnStart(self.profile.first_idle_s)
        self.dialog = None
        self.activity = Activity(state="unknown", since=rfc3339(), confidence=0.0)

    def restore(self, activity: Activity, dialog: Dialog | None) -> None:
        """After an adoption: what the journal last said, for as long as nothing newer is seen."""
        if not activity.evidence or activity.state == "unknown":
            return
        first = activity.evidence[0]
        self._latest[first.source] = Observation(
            source=first.source, rule=first.rule, state=activity.state, matched=first.matched,
            confidence=activity.confidence,
        )  # fmt: skip
        self.activity, self.dialog = activity, dialog
        self._start.adopted()

    @property
    def latest(self) -> Mapping[Source, Observation]:
        """The last observation of each source, but for what an override rule saw."""
        return self._latest

    @property
    def unseen(self) -> bool:
        """Whether a signal came that the screen was not looked at since."""
        return self._unseen

    def age_s(self, source: Source) -> float | None:
        """Seconds since `source` was last heard of, or looked at; None: before this daemon."""
        made_at = self._made_at.get(source)
        return None if made_at is None else monotonic() - made_at

    @property
    def words_due_s(self) -> float | None:
        """Seconds until the question that is open is a dialog without words; None: it is one, or there is none."""
        if self._wordless_since is None or self.dialog is not None:
            return None
        return max(0.0, self._wordless_since + WORDS_WITHIN_S - monotonic())

    @property
    def dialog_key(self) -> str | None:
        """What the agent's own records call the open dialog."""
        return None if self.dialog is None else self._identity.key

    @property
    def turn_over(self) -> bool:
        """Whether the agent is idle by evidence that can end a turn.

        An agent that signals its states is not believed idle by its screen alone: one that exits takes its signal
        back, and what it drew still looks like a prompt.
        """
        if self.activity.state != "idle":
            return False
        return not self._signalled or self.activity.evidence[0].source in ("signal", "api", "hook")

    # -- observations --

    def signal(self, signal: Signal) -> None:
        """An OSC 7501 status signal."""
        if not self.profile.signals:
            return
        if signal.state == "clear":
            self._latest.pop("signal", None)
            self._fuse()
            return
        state = _SIGNAL_STATES.get(signal.state)
        if state is None:
            return
        if (state != "idle" or signal.state == "done") and not (state == "busy" and self._start.works_by_itself):
            self.worked += 1
        self._unseen = self._signalled = True
        if signal.kind == "auth" and state == "waiting" and self._ends_a_turn(signal.message):
            observation = Observation("signal", _NO_LOGIN, "idle", "state=blocked kind=auth", 0.9)
        else:
            observation = Observation(
                source="signal", rule=f"osc7501-{signal.state}", state=state, matched=f"state={signal.state}",
                confidence=0.98, dialog_kind="approval" if signal.kind == "permission" else signal.kind,
                question=signal.message,
            )  # fmt: skip
        self._note(observation)
        # A question before anything else is known may be a trust or login screen: which, the look that follows tells.
        if state != "waiting" or self.activity.state != "unknown":
            self._fuse()

    def _ends_a_turn(self, message: str | None) -> bool:
        """Whether the agent's last signal was that it works, or that its turn ended for want of a login; or a request
        of its turn is what failed: of one that is too short it tells no work.
        """
        if _FAILED_REQUEST in (message or ""):
            return True
        last = self._latest.get("signal")
        return last is not None and (last.state == "busy" or last.rule == _NO_LOGIN)

    def observe(self, observation: Observation) -> None:
        """A report of any source; it replaces that source's last one."""
        self._note(observation)
        self._fuse()

    def _note(self, observation: Observation) -> None:
        self._latest[observation.source] = observation
        self._made_at[observation.source] = monotonic()

    def look(self, screen: str, title: str) -> None:
        """Run the rules on what a person would see now.

        A screen that was just emptied is being drawn anew: idle or busy, the agent is that until something stands there
        again, or until the screen stays empty. A dialog is gone with its rows.
        """
        self._emptied = None if screen.strip() else (self._emptied[0] if self._emptied else monotonic(), title)
        drawn_anew = self._emptied is not None and monotonic() - self._emptied[0] < EMPTY_WITHIN_S
        if drawn_anew and self.activity.state in ("idle", "busy"):
            return
        self._unseen = False
        self._made_at["screen"] = self._made_at["title"] = monotonic()
        override: Observation | None = None
        seen: dict[Source, Observation] = {}
        for compiled in self._screen_rules:
            rule = compiled.rule
            source = source_of(rule)
            if not self.in_time(rule) or (source in seen and not rule.override):
                continue
            if (match := compiled.search(screen, title)) is None:
                continue
            if rule.override and override is not None:
                continue
            observation = observed(rule, match)
            if (until := self._countdown.ends_at(rule.id, match)) is not None:
                observation = msgspec.structs.replace(observation, until=until)
            if rule.override:
                override = observation
            else:
                seen[source] = observation
        if not any(one.until for one in (override, *seen.values()) if one is not None):
            self._countdown.over()
        self._override = override
        signalled = self._latest.get("signal")
        if override is not None and override.state == "onboarding" and signalled and signalled.state == "waiting":
            del self._latest["signal"]  # it spoke of this screen, and is over with it
        for source in ("title", "screen"):
            found = seen.get(source)
            if found is None:
                self._latest.pop(source, None)
            else:
                self._latest[source] = found
        self._fuse()

    def titled(self, title: str) -> None:
        """The window title changed. Work that it tells of is believed at once: it may be over before `look` comes."""
        for compiled in self._screen_rules:
            rule = compiled.rule
            if rule.where == "title" and self.in_time(rule) and (match := compiled.search("", title)) is not None:
                if rule.state in ("busy", "waiting"):
                    self.observe(observed(rule, match))
                return

    def silent(self, seconds: float) -> None:
        """The terminal has been silent for `seconds`; called from time to time."""
        if self._emptied is not None:
            self.look("", self._emptied[1])
        if not self._start.over:
            self._fuse()
        stuck = self._believed_state() == "busy" and seconds >= self.profile.stuck_after_s
        if stuck != self._stuck:
            self._stuck = stuck
            self._fuse()

    # -- fusion --

    def _best(self) -> Observation | None:
        if self._override is not None:
            return self._override
        return next(iter(self._counting()), None)

    def in_time(self, rule: Rule) -> bool:
        """Whether `rule` counts at all by now."""
        return not (rule.at_start and self._start.over)

    def counts(self, observation: Observation) -> bool:
        """Whether it is believed if no better one is there; a run that begins is not believed everything."""
        drawn = (self._latest.get("title"), self._latest.get("screen"))
        seen_idle = not self._draws_idle or any(one is not None and one.state == "idle" for one in drawn)
        return self._start.believes(observation, seen_idle=seen_idle)

    def _counting(self) -> list[Observation]:
        """The last observation of each source that counts, the most trusted first."""
        latest = (self._latest[source] for source in TRUST if source in self._latest)
        return [one for one in latest if self.counts(one)]

    def _believed_state(self) -> ActivityState:
        best = self._best()
        return "unknown" if best is None else best.state

    def _fuse(self) -> None:
        best = self._best()
        if best is None or best.state != "waiting":
            self._wordless_since = None
        if best is None:
            self._change("unknown", 0.0, (), None, None)
            return
        evidence = tuple(
            Evidence(source=o.source, rule=o.rule, matched=o.matched[:_MATCHED_LIMIT])
            for o in (best, *(one for one in self._counting() if one.source != best.source))
            if o.state == best.state
        )
        if self._stuck and best.state == "busy":
            evidence = (Evidence(source="quiet", rule=f"silent-{self.profile.stuck_after_s:g}s"), *evidence)
            self._change("stuck", 0.7, evidence, None, None)
            return
        dialog = self._dialog_of(best, evidence) if best.state in ("waiting", "onboarding") else None
        # A menu is what a command opened, not work on a prompt.
        menu = (best.dialog_kind if dialog is None else dialog.kind) == MENU
        self._change(best.state, best.confidence, evidence, best.until, dialog, menu=menu)

    def _dialog_of(self, best: Observation, evidence: tuple[Evidence, ...]) -> Dialog | None:
        """The open dialog: its words from the screen rule that sees it, else from whoever reported it."""
        described = best
        if best is not self._override or not (best.options or best.question):
            for source in ("screen", "api", "hook"):
                other = self._latest.get(source)
                if other is not None and other.state == "waiting" and (other.options or other.question):
                    described = other
                    break
        kind = described.dialog_kind or best.dialog_kind
        if kind is None and best.state != "waiting":
            return None
        still = self._still_open(described, kind)
        if still is not None and described.source in _WORDLESS:
            kind, words, options = still.kind, still.question, still.options
        elif still is None and not self._worded(described):
            return None
        else:
            kind, words, options = kind or "question", described.question or "", described.options
            self.option_keys = described.option_keys
        # The screen may cut a command off; the agent's own log or API has it whole, but a moment later.
        reports = [self._latest[source] for source in TRUST if source in self._latest]
        question = self._identity.question(kind, words, options, (*reports, best))
        dialog = self._identity.dialog(self.dialog, question, evidence)
        advice = described.advice or best.advice or (_ADVICE if best.state == "onboarding" else None)
        return msgspec.structs.replace(dialog, advice=advice)

    def _still_open(self, described: Observation, kind: str | None) -> Dialog | None:
        """The open dialog, if `described` adds nothing to it: a signal that comes late opens no other one.

        Once the screen was looked at, a dialog that had words there and has none now is not the one that is signalled.
        """
        still = self.dialog
        if still is None or kind not in (None, still.kind):
            return None
        if described.source in _WORDLESS and not self._unseen and (still.question or still.options):
            return None
        return still

    def _worded(self, described: Observation) -> bool:
        """Whether a dialog may open by `described`: with its words, or once none have come for long enough.

        A signal and a title come before the screen that they speak of, which has the better words, and options. Where
        the screen's rule has no words either, as they are the API's, this is awaited as well.
        """
        awaited = described.source in _WORDLESS or self._awaits_api(described)
        if not awaited and (described.question or not self._unseen):
            self._wordless_since = None
            return True
        if self._wordless_since is None:
            self._wordless_since = monotonic()
        return not self._unseen and monotonic() >= self._wordless_since + WORDS_WITHIN_S

    def _awaits_api(self, described: Observation) -> bool:
        return (
            self.profile.api_complete and described.source == "screen" and described is not self._override
            and not (described.question or described.options)
        )  # fmt: skip

    def _change(
        self, state: ActivityState, confidence: float, evidence: tuple[Evidence, ...], until: str | None,
        dialog: Dialog | None, *, menu: bool = False,
    ) -> None:  # fmt: skip
        before = self.activity
        same_dialog = dialog == self.dialog
        # Not by what was matched: a spinner would be a change of state at each of its turns.
        same_evidence = [(e.source, e.rule) for e in before.evidence[:1]] == [(e.source, e.rule) for e in evidence[:1]]
        if before.state == state and before.until == until and same_dialog and same_evidence:
            return
        if state in ("idle", "busy"):
            self._identity.over()
        if state in ("busy", "waiting") and before.state not in ("busy", "waiting") and not menu:
            self.worked += 1
        since = before.since if before.state == state else rfc3339()
        self.activity = Activity(state=state, since=since, confidence=confidence, evidence=evidence, until=until)
        self.dialog = dialog
        self._start.told(state)
        self._on_change()
