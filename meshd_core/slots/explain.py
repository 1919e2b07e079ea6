"""Why a slot's activity is what it is: each rule and each source with what became of it. Made on demand alone."""

import re
from collections.abc import Callable
from typing import NamedTuple

from meshd_core.contracts.kinds import Observation, Rule
from meshd_core.slots.activity import TRUST, ActivityTracker
from meshd_core.slots.screen_rules import CompiledRule, observed, source_of
from meshd_core.slots.versions import rule_holds, variants_for
from meshd_core.types import ProfileReport, RuleReport, SourceReport, Verdict

_MATCHED_LIMIT = 200


class _Judged(NamedTuple):
    rule: Rule
    match: re.Match[str] | None
    holds: bool


class Judgement:
    """The rules of a tracker's kind on `screen` and `title` as they are now, beside what its other sources say.

    The tracker itself is left as it is. `shown(text)` filters a text that was cut out of the screen.
    """

    def __init__(self, tracker: ActivityTracker, screen: str, title: str, shown: Callable[[str], str]) -> None:
        self._tracker, self._shown = tracker, shown
        self._judged = [
            _Judged(rule, CompiledRule(rule).search(screen, title), rule_holds(rule, tracker.version))
            for rule in tracker.profile.rules
        ]
        matching = [one for one in self._judged if one.holds and one.match is not None and tracker.in_time(one.rule)]
        self._override = next((one for one in matching if one.rule.override), None)
        self._first = {source_of(one.rule): one for one in reversed(matching) if not one.rule.override}
        found = {source: o for source, o in tracker.latest.items() if source not in ("screen", "title")}
        found |= {source: _observation(one) for source, one in self._first.items()}
        self._latest = [found[source] for source in TRUST if source in found]
        overriding = [] if self._override is None else [_observation(self._override)]
        self._all = [*overriding, *self._latest]
        self._best = next((one for one in self._all if one in overriding or tracker.counts(one)), None)

    def profile(self) -> ProfileReport:
        """Which data of the kind are in use."""
        profile, version = self._tracker.profile, self._tracker.version
        return ProfileReport(
            kind=profile.name, agent_version=version, measured=None if version is None else version in profile.measured,
            measured_with=profile.measured,
            variants=tuple(variant.versions for variant in variants_for(profile, version)),
        )  # fmt: skip

    def sources(self) -> tuple[SourceReport, ...]:
        """The latest observation of each source, the one that is believed first."""
        return tuple(self._source(observation) for observation in self._all)

    def rules(self) -> tuple[RuleReport, ...]:
        """Every rule of the kind, in its order."""
        return tuple(self._rule(one) for one in self._judged)

    def _source(self, seen: Observation) -> SourceReport:
        verdict, by = self._verdict(seen)
        age_s = self._tracker.age_s(seen.source)
        return SourceReport(
            source=seen.source, rule=seen.rule, state=seen.state, verdict=verdict, confidence=seen.confidence,
            age_ms=None if age_s is None else int(age_s * 1000), by=by, matched=self._text(seen.matched),
        )  # fmt: skip

    def _rule(self, one: _Judged) -> RuleReport:
        rule, match, holds = one
        decider = self._override if rule.override else self._first.get(source_of(rule))
        by: str | None = None
        verdict: Verdict
        if not holds:
            verdict = "other_version"
        elif match is None:
            verdict = "no_match"
        elif not self._tracker.in_time(rule):
            verdict = "too_late"
        elif decider is not None and decider is not one:
            verdict, by = "earlier_rule", decider.rule.id
        else:
            verdict, by = self._verdict(_observation(one))
        return RuleReport(
            rule=rule.id, state=rule.state, where=rule.where, verdict=verdict, by=by,
            matched=None if match is None else self._text(match.group().strip()), override=rule.override,
            versions=rule.versions,
        )  # fmt: skip

    def _verdict(self, seen: Observation) -> tuple[Verdict, str | None]:
        best = self._best
        if seen == best:
            return "believed", None
        if best is None or (self._override is None and not self._tracker.counts(seen)):
            return "not_yet", None
        if seen.state == best.state:
            return "agrees", None
        return ("outranked" if self._override is None else "overridden"), best.rule

    def _text(self, text: str) -> str:
        # A pattern may begin at the top of the screen to rule something out; what it looks for stands at its end.
        return self._shown(text[-_MATCHED_LIMIT:])


def _observation(one: _Judged) -> Observation:
    assert one.match is not None
    return observed(one.rule, one.match)
