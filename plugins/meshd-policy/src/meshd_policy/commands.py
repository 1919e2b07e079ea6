"""`meshd policy ...`: what the rules say, without typing anything."""

import click
import msgspec
from msgspec import Struct

from meshd_policy.config import PolicyConfig
from meshd_policy.prompts import Prompt, judge


class Verdict(Struct, frozen=True):
    """What `check --json` prints."""

    allowed: bool
    rule: str | None = None
    reason: str | None = None


def policy_commands(config: PolicyConfig) -> click.Group:
    """The group `policy`, for this configuration."""

    @click.group()
    def policy() -> None:
        """Look at the site's rules for prompts."""

    @policy.command("check")
    @click.argument("slot")
    @click.argument("text")
    @click.option("--kind", default="", help="The slot's kind.")
    @click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="A label of the slot; may be repeated.")
    @click.option("--subject", default="", help="Who calls, as the audit log names them: token:ci, local:1000.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    def check(slot: str, text: str, kind: str, labels: tuple[str, ...], subject: str, as_json: bool) -> None:
        """Tell whether the rules let TEXT be typed into SLOT now. Nothing is typed.

        Exits with 1 if a rule is against it.

        \b
        meshd policy check claude-1 "drop the database" --kind claude
        meshd policy check claude-1 hello --label team:web --subject token:ci --json
        """
        pairs = {key: value for key, _, value in (label.partition(":") for label in labels)}
        try:
            rule = judge(config.deny, Prompt(slot, kind, pairs, subject, text))
        except TimeoutError:
            verdict = Verdict(False, reason="a rule's pattern takes too long")
        else:
            verdict = Verdict(True) if rule is None else Verdict(False, rule.name, rule.words)
        if as_json:
            click.echo(msgspec.json.encode(verdict))
        else:
            click.echo("allowed" if verdict.allowed else f"refused by {verdict.rule or 'a rule'}: {verdict.reason}")
        if not verdict.allowed:
            raise click.exceptions.Exit(1)

    return policy
