"""Why a slot's activity is what it is, and why its next prompt is or is not typed."""

from typing import Literal

from msgspec import Struct

from meshd_core.types.words import ActivityState, Source, When

Verdict = Literal[
    "believed", "agrees", "outranked", "overridden", "not_yet", "earlier_rule", "no_match", "too_late", "other_version"
]
"""`believed`: the state comes from it. `agrees`: it says the same. `outranked`: a source that is trusted more says
otherwise. `overridden`: an override rule does. `not_yet`: the run has only begun, and this alone proves nothing then:
idleness that the screen doesn't show, work of the agent's own. `earlier_rule`: a rule before it in the kind's order
decided for its source. `no_match`: the text has no such marker. `too_late`: it counts only while an agent starts.
`other_version`: its range does not hold the agent's version."""
QueueBlock = Literal[
    "not_running", "removed", "draining", "writing", "paste", "draft", "person", "input_unseen", "typing", "quiet",
    "unknown", "onboarding", "busy", "waiting", "limited", "stuck",
]  # fmt: skip
"""`writing`: another prompt is being typed. `paste`, `draft`, `person`, `input_unseen`, `typing`: as in `held`.
`quiet`: this kind can't be seen idle, and the terminal was not silent for `quiet_s` yet. The others: what slot, daemon
or agent are.
"""


class RuleReport(Struct, frozen=True):
    """One rule of the kind, judged on what the terminal shows now."""

    rule: str
    state: ActivityState
    where: Literal["screen", "title"]
    verdict: Verdict
    by: str | None = None
    """What decided against it: a rule, as evidence names it."""
    matched: str | None = None
    """The end of the text that it matches, filtered, at most 200 characters; also where it does not count."""
    override: bool = False
    versions: str = ""


class SourceReport(Struct, frozen=True):
    """The latest observation of one source."""

    source: Source
    rule: str
    state: ActivityState
    verdict: Verdict
    confidence: float
    age_ms: int | None
    """Since it was made, or for the screen and the title since the last look; None: an earlier daemon made it."""
    by: str | None = None
    matched: str = ""


class ProfileReport(Struct, frozen=True):
    """Which of the kind's data are in use."""

    kind: str
    agent_version: str | None
    measured: bool | None
    """Whether the data were measured with this very version; None while the version is not known."""
    measured_with: tuple[str, ...]
    variants: tuple[str, ...]
    """Version ranges of the variants in use."""


class QueueReport(Struct, frozen=True):
    """Why the next prompt is or is not typed now. Without prompts: whether one with `when` `idle` would be."""

    blocked_by: tuple[QueueBlock, ...]
    """Empty: it is typed."""
    length: int
    next: str | None
    """Receipt of the prompt that is to be typed next, or is being typed."""
    when: When
    turn: str | None
    """Receipt of the prompt that the agent works on, as far as the kind can tell."""
    human_s: float
    """Seconds until a person's typing holds nothing any more, if no key follows."""


class Explanation(Struct, frozen=True):
    """Made when it is asked for. `sources`: the most trusted first; `rules`: in the kind's order."""

    profile: ProfileReport
    sources: tuple[SourceReport, ...]
    rules: tuple[RuleReport, ...]
    queue: QueueReport
    silent_s: float
    """Since the terminal's last output."""
    quiet_s: float | None
    """Silence after which a prompt is typed without any evidence; None: this kind can be seen idle."""
    stuck_after_s: float
    unseen: bool = False
    """Whether a signal came that the screen was not looked at since."""
