"""What a kind's rule finds on a screen or in a window title, as an observation of the agent's state."""

import re

from meshd_core.contracts.kinds import TIME_UNITS, Observation, Rule
from meshd_core.slots.dialog_options import offered
from meshd_core.types import Source


class CompiledRule:
    """A rule with its pattern compiled once for a slot."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._pattern = re.compile(rule.pattern, re.MULTILINE)

    def search(self, screen: str, title: str) -> re.Match[str] | None:
        text = title if self.rule.where == "title" else screen
        if self.rule.last_rows:
            text = "\n".join(text.rstrip().split("\n")[-self.rule.last_rows :])
        return self._pattern.search(text)


def source_of(rule: Rule) -> Source:
    """Where what `rule` finds is seen."""
    return "title" if rule.where == "title" else "screen"


def observed(rule: Rule, match: re.Match[str]) -> Observation:
    """What `rule` says by its `match`."""
    command = match.groupdict().get("command")
    groups = match.re.groupindex
    skip = {groups[name] for name in ("command", "options", *TIME_UNITS) if name in groups}
    asked = next((n for n in range(1, match.re.groups + 1) if n not in skip and match[n]), None)
    options = match.start("options") if "options" in groups else -1
    choices = offered(rule, match, options if options >= 0 else match.start(asked or 0))
    # A pattern may begin at the top of the screen, with the conversation: no evidence of a dialog.
    begins = match.start(asked) if asked is not None else options
    evidence = match.string[begins : match.end()] if rule.dialog and begins >= 0 else match.group()
    return Observation(
        source=source_of(rule), rule=rule.id, state=rule.state, matched=evidence.strip(),
        confidence=rule.confidence, dialog_kind=rule.dialog,
        question=match[asked] if rule.dialog and asked is not None else choices.question, options=choices.options,
        option_keys=choices.keys, command=command.strip() if command else None, advice=rule.advice,
    )  # fmt: skip
