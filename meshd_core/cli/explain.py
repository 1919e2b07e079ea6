"""Why a slot's activity is what it is, and why its next prompt is or is not typed: explain."""

import click

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.render import age, show_facts, show_json, show_table
from meshd_core.client import MeshdClient
from meshd_core.types import Explanation, QueueBlock, RuleReport, SlotDetail, SourceReport, Verdict

_VERDICTS: dict[Verdict, str] = {
    "believed": "believed",
    "agrees": "says the same",
    "outranked": "outranked",
    "not_yet": "not believed yet, the run has only begun",
    "overridden": "overridden",
    "earlier_rule": "later rule",
    "no_match": "no match",
    "too_late": "only while the agent starts",
    "other_version": "other version",
}
_BLOCKS: dict[QueueBlock, str] = {
    "not_running": "no agent runs",
    "removed": "the slot is out of the configuration",
    "draining": "the daemon is ending",
    "writing": "a prompt is being typed",
    "paste": "an unfinished paste may stand in the input box and is about to be cleared",
    "draft": "an unfinished prompt may stand in the input box and is about to be cleared",
    "person": "an unfinished prompt may stand in the input box, and only a person can clear it",
    "input_unseen": "no input box is seen: a long draft hides it, or this version draws one that the kind doesn't know",
    "typing": "a person is typing",
    "quiet": "the terminal was not silent for long enough",
    "unknown": "nothing tells what the agent is doing",
    "onboarding": "a person must answer a screen first",
    "busy": "the agent is working",
    "waiting": "a dialog is open",
    "limited": "the agent has reached a limit",
    "stuck": "the agent is working, but has been silent for long",
}


@click.command()
@slot_argument
@click.option("--all", "everything", is_flag=True, help="Also the rules that match nothing.")
@client_command
def explain(client: MeshdClient, as_json: bool, slot: str, everything: bool) -> None:
    """Show why a slot's activity is what it is, and why its next prompt is or is not typed.

    Shows the latest word of each source, the rules of the agent's kind that match what its terminal shows now, and what
    became of each.

    \b
    meshd explain claude-1
    meshd explain claude-1@mac2 --json | jq '.explain.queue'
    """
    found = client.slot(slot, explain=True)
    if as_json:
        show_json(found)
        return
    if found.explain is None:
        raise click.ClickException(f"the node of {slot} runs an older meshd, which explains nothing")
    told = found.explain
    show_facts(_facts(found, told))
    if told.sources:
        click.echo()
        show_table(("SOURCE", "STATE", "AGE", "VERDICT", "RULE", "MATCHED"), [_source(seen) for seen in told.sources])
    rules = [rule for rule in told.rules if everything or rule.matched is not None]
    if rules:
        click.echo()
        show_table(("RULE", "STATE", "WHERE", "VERDICT", "MATCHED"), [_rule(rule) for rule in rules])


def _facts(slot: SlotDetail, told: Explanation) -> list[tuple[str, str]]:
    profile, queue = told.profile, told.queue
    quiet = "" if told.quiet_s is None else f"; {told.quiet_s:g} s of it count as ready"
    facts = [
        ("activity", f"{slot.activity.state} for {age(slot.activity.since)} ({slot.activity.confidence:.0%} sure)"),
        ("status", slot.status),
        ("kind", f"{profile.kind} {profile.agent_version or 'of a version that is not known'}"),
        ("data", _data(told)),
        ("silent", f"{told.silent_s:g} s{quiet}; busy and silent for {told.stuck_after_s:g} s is stuck"),
        ("prompts", f"{queue.length} queued" + (f", next {queue.next}" if queue.next else "")),
        ("typed now", "no: " + "; ".join(_block(block, told) for block in queue.blocked_by) if queue.blocked_by
                      else "yes"),
    ]  # fmt: skip
    if queue.turn:
        facts.append(("turn of", queue.turn))
    if told.unseen:
        facts.append(("screen", "not looked at since the last signal"))
    return facts


def _data(told: Explanation) -> str:
    profile = told.profile
    known = ", ".join(profile.measured_with) or "no particular version"
    words = {True: "measured with this version", False: f"not measured with this version, but with {known}"}
    found = f"measured with {known}" if profile.measured is None else words[profile.measured]
    return found + (f"; variants {', '.join(profile.variants)}" if profile.variants else "")


def _block(block: QueueBlock, told: Explanation) -> str:
    if block == "typing":
        return f"{_BLOCKS[block]}; {told.queue.human_s:g} s left"
    return _BLOCKS.get(block, block)


def _source(seen: SourceReport) -> tuple[str, ...]:
    old = "before" if seen.age_ms is None else f"{seen.age_ms / 1000:.1f}s"
    return seen.source, seen.state, old, _verdict(seen), seen.rule, _line(seen.matched)


def _rule(rule: RuleReport) -> tuple[str, ...]:
    where = f"{rule.where}, override" if rule.override else rule.where
    verdict = f"{_verdict(rule)} ({rule.versions})" if rule.verdict == "other_version" else _verdict(rule)
    return rule.rule, rule.state, where, verdict, _line(rule.matched or "")


def _verdict(report: SourceReport | RuleReport) -> str:
    found = _VERDICTS.get(report.verdict, report.verdict)
    return f"{found} by {report.by}" if report.by and report.verdict in ("outranked", "overridden") else found


def _line(text: str) -> str:
    return " ".join(text.split())[-60:]
