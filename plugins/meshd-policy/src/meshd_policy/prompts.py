"""Judges prompts by the rules. A rule that can't be judged in time raises, and core refuses the prompt."""

from collections.abc import Iterable, Mapping
from datetime import datetime, time
from fnmatch import fnmatchcase

import regex
from msgspec import Struct

from meshd_policy.config import Deny

TIMEOUT_S = 0.1
"""For one pattern on one prompt: hooks run on the daemon's event loop."""


class Prompt(Struct, frozen=True):
    slot: str
    kind: str
    labels: Mapping[str, str]
    subject: str
    text: str


def judge(rules: Iterable[Deny], prompt: Prompt, now: datetime | None = None) -> Deny | None:
    """The first rule that refuses `prompt`, or None. Raises TimeoutError. `now`: local time."""
    at = (datetime.now().astimezone() if now is None else now).time()
    return next((rule for rule in rules if _meets(rule, prompt, at)), None)


def _meets(rule: Deny, prompt: Prompt, at: time) -> bool:
    """Whether `prompt` meets every condition of `rule`; the pattern comes last, because it costs most."""
    if rule.slots and not _any(rule.slots, prompt.slot):
        return False
    if rule.kinds and not _any(rule.kinds, prompt.kind):
        return False
    if not all(name in prompt.labels and fnmatchcase(prompt.labels[name], glob) for name, glob in rule.labels.items()):
        return False
    if rule.subjects and not _any(rule.subjects, prompt.subject):
        return False
    if _any(rule.except_subjects, prompt.subject):
        return False
    if rule.longer_than is not None and len(prompt.text) <= rule.longer_than:
        return False
    if rule.hours is not None and _within(*rule.hours, at):
        return False
    return rule.pattern is None or regex.search(rule.pattern, prompt.text, timeout=TIMEOUT_S) is not None


def _any(globs: Iterable[str], text: str) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def _within(start: time, end: time, at: time) -> bool:
    return start <= at < end if start <= end else at >= start or at < end
