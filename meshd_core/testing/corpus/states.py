"""From facts to what an agent was doing when: the spans of acceptable states.

Only what decides is used: a request's arrival and its answer's last byte, the script's keys, and for what the backend
can't see (questions, first-run screens, readiness) the moment at which the script's own text check saw it.
"""

from collections.abc import Sequence

from meshd_core.testing.corpus.facts import Exchange, Facts
from meshd_core.testing.corpus.truth import StateSpan, acceptable
from meshd_core.types import ActivityState

DRAWN_WITHIN_S = 1.5
"""A question has to be on the screen so soon after its tool call."""
SETTLES_WITHIN_S = 1.0
"""An interrupt or a denial has had its effect so soon after its key."""
States = tuple[ActivityState, ...]
ANYTHING: States = ()
IDLE: States = ("idle",)
BUSY: States = ("busy",)
WAITING: States = ("waiting",)
ONBOARDING: States = ("onboarding",)
RETRYING: States = ("limited", "busy")


def states(facts: Facts, exchanges: Sequence[Exchange]) -> tuple[StateSpan, ...]:
    """The spans, first one from 0 on; no two neighbours are equal."""
    timeline = _Timeline(facts, exchanges)
    return timeline.spans()


class _Timeline:
    def __init__(self, facts: Facts, exchanges: Sequence[Exchange]) -> None:
        self._facts, self._exchanges = facts, exchanges
        self._stops = sorted([*facts.interrupts, *([] if facts.leaving is None else [facts.leaving])])
        self._points: list[tuple[float, States]] = [(0.0, ANYTHING)]

    def spans(self) -> tuple[StateSpan, ...]:
        for screen in self._facts.screens:
            self._set(screen.seen, ONBOARDING)
            self._set(screen.left, ANYTHING)
        for at in self._facts.ready:
            self._set(at, IDLE)
        for index, exchange in enumerate(self._exchanges):
            self._exchange(index, exchange)
        denials = [q.answered for q in self._facts.questions if q.denied and q.answered is not None]
        for at in (*self._facts.interrupts, *denials):
            self._settle(at)
        if self._facts.leaving is not None:
            self._set(self._facts.leaving, ANYTHING)
            self._points = [point for point in self._points if point[0] <= self._facts.leaving]
        for typed in self._facts.typed:
            # While a turn is on, a prompt is queued and changes nothing.
            if acceptable(self._sorted(), typed.at) in (IDLE, ANYTHING):
                self._set(typed.at, ANYTHING)
        return self._sorted()

    def _exchange(self, index: int, exchange: Exchange) -> None:
        following = self._arrival_after(index)
        retry = index > 0 and self._retries(self._exchanges[index - 1], exchange)
        self._set(exchange.arrived, RETRYING if retry else BUSY)
        if retry and exchange.status == 200:
            self._set(exchange.first_byte, BUSY)
        end = exchange.last_byte
        if end is None or self._between(self._stops, exchange.arrived, end):
            return  # cut: what ended it is a key of the script
        entered = self._between([typed.at for typed in self._facts.typed], end, following)
        if not exchange.whole:
            self._set(end, ANYTHING)  # the agent hung up by itself: codex does, for a prompt that is entered meanwhile
        elif exchange.tool is not None:
            self._call(end, following)
        elif exchange.status != 200 and self._between(self._stops, end, following):
            self._set(end, ANYTHING)  # it may have been the last try
        elif following is None or entered:
            self._set(end, IDLE)
        else:  # the agent goes on by itself: another try, or a queued prompt
            self._set(end, ANYTHING if exchange.status == 200 else RETRYING)

    def _call(self, end: float, following: float | None) -> None:
        """A tool call: the tool runs, or its question is open."""
        for question in self._facts.questions:
            if question.seen >= end and (following is None or question.seen < following):
                self._set(end, ANYTHING)
                self._set(min(question.seen, end + DRAWN_WITHIN_S), WAITING)
                self._set(question.answered, ANYTHING)
                return

    def _settle(self, at: float) -> None:
        """An interrupt's or a denial's key: the turn ends, or the agent goes on by itself."""
        self._set(at, ANYTHING)
        following = next((one.arrived for one in self._exchanges if one.arrived > at), None)
        typed = [typed.at for typed in self._facts.typed]
        if following is None or self._between(typed, at, following):
            self._set(at + SETTLES_WITHIN_S, IDLE)

    @staticmethod
    def _retries(before: Exchange, exchange: Exchange) -> bool:
        return before.status != 200 and exchange.prompt == before.prompt

    def _arrival_after(self, index: int) -> float | None:
        return self._exchanges[index + 1].arrived if index + 1 < len(self._exchanges) else None

    @staticmethod
    def _between(times: Sequence[float], low: float, high: float | None) -> bool:
        return any(at >= low and (high is None or at < high) for at in times)

    def _set(self, at: float | None, acceptable_states: States) -> None:
        if at is not None:
            self._points.append((at, acceptable_states))

    def _sorted(self) -> tuple[StateSpan, ...]:
        spans: list[StateSpan] = []
        for at, found in sorted(self._points, key=lambda point: point[0]):
            since = round(at, 3)
            if spans and spans[-1].since == since:
                spans.pop()
            if not spans or spans[-1].states != found:
                spans.append(StateSpan(since, found))
        return tuple(spans)
