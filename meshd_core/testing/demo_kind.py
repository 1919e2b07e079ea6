"""The agent kind `demo`: how the demo agent is started, typed into and read; the smallest complete kind."""

import sys
from collections.abc import Iterable

from meshd_core.api import (
    AgentKind,
    DialogOption,
    ExitRecipe,
    Keys,
    KindProfile,
    PluginContext,
    Rule,
    SubmitRecipe,
    TranscriptRules,
    hookimpl,
)

_OPTIONS = (DialogOption("accept", "accept"), DialogOption("deny", "deny"))

PROFILE = KindProfile(
    name="demo",
    title="Demo agent",
    # -P: the folder that the agent works in is no place to import from.
    commands=(sys.executable, "-P", "-m", "meshd_core.testing.demo_agent"),
    install_hint="the demo agent comes with meshd-core",
    output="lines",
    proves="completed",
    signals=True,
    rules=(
        Rule(
            "demo-dialog",
            "waiting",
            r"^(Allow the demo to continue\?)\n  y  accept\n  n  deny\n\[y/n\] ?\Z",
            dialog="approval",
            options=_OPTIONS,
            option_pattern=r"^  (?P<key>[yn])  (?P<label>\w+)$",
            last_rows=4,
        ),
        Rule("demo-busy", "busy", r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] working \d", last_rows=1),
        Rule("demo-idle", "idle", r"^demo>", last_rows=1),
    ),
    submit=SubmitRecipe(paste="bracketed", settle_s=0.0, confirm_s=2.0, clear="\x15"),
    exit=ExitRecipe(keys=("\x03", "\x04"), grace_s=2.0, term_grace_s=2.0),
    keys=Keys(deny="n", interrupt=("\x03",)),
    transcript=TranscriptRules(echo=(r"^demo> ",)),
)


class DemoKind(AgentKind):
    """All data: the demo agent has no channels besides its terminal."""

    profile = PROFILE


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `demo`."""
    return (DemoKind(),)
