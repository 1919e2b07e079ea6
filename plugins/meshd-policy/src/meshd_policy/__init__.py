"""A site's rules: which prompts may be typed, and how agents are started; and `meshd policy check`."""

from collections.abc import Generator, Mapping
from typing import Any

from msgspec import Struct

from meshd_core.api import (
    AgentKind,
    Denial,
    InjectCheck,
    Launch,
    LaunchSpec,
    PluginContext,
    Principal,
    hookimpl,
)
from meshd_policy.config import PolicyConfig


@hookimpl
def meshd_config_type() -> type[Struct]:
    """`[plugins.policy]`."""
    return PolicyConfig


@hookimpl
def meshd_check_inject(
    ctx: PluginContext, slot: Mapping[str, Any], principal: Principal, request: InjectCheck
) -> Denial | None:
    """The first rule that speaks against the prompt."""
    from meshd_policy.prompts import Prompt, judge

    prompt = Prompt(slot["name"], slot["kind"], slot["labels"], principal.subject, request.text)
    rule = judge(ctx.config.deny, prompt)
    return None if rule is None else Denial(rule.words)


@hookimpl(wrapper=True)
def meshd_prepare_launch(ctx: PluginContext, kind: AgentKind, spec: LaunchSpec) -> Generator[None, Launch, Launch]:
    """What the site adds to every launch, or has against it."""
    from meshd_policy.launches import changed, check_launch

    launch = yield
    check_launch(ctx.config.launch, spec, launch)
    return changed(ctx.config.launch, spec, launch)


@hookimpl
def meshd_cli(ctx: PluginContext, group: Any) -> None:
    """The commands `meshd policy ...`."""
    from meshd_policy.commands import policy_commands

    group.add_command(policy_commands(ctx.config))
