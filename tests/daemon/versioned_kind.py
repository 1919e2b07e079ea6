"""A plugin with the agent kind `versioned`: the demo agent, which tells the version that its slot's environment has."""

from pathlib import Path

from meshd_core.testing import plugin_files

PLUGIN = """
import msgspec
from meshd_core.api import (
    AgentKind, AgentSession, Keys, Launch, Rule, SanitizeRules, Variant, hookimpl,
)
from meshd_core.testing.demo_kind import PROFILE

class Session(AgentSession):
    def __init__(self, run):
        self._version = run.meta.get("version")
    def version(self):
        return self._version

class Versioned(AgentKind):
    profile = msgspec.structs.replace(
        PROFILE, name="versioned", measured=("1.4.0",), stuck_after_s=1.0,
        rules=(*PROFILE.rules, Rule("old-idle", "idle", r"^demo>", versions="<2", last_rows=1)),
        keys=Keys(accept="y"),
        variants=(Variant("<2", sanitize=SanitizeRules(leading_bang=True), keys=PROFILE.keys),),
    )
    def launch(self, spec):
        version = spec.env.get("AGENT_VERSION")
        return Launch(argv=(*spec.command, *spec.args), meta={} if version is None else {"version": version})
    def session(self, run):
        return Session(run)

@hookimpl
def meshd_agent_kinds(ctx):
    return [Versioned()]
"""


def install(folder: Path) -> dict[str, str]:
    """Install the plugin below `folder`; the environment for a daemon that is to find it."""
    return plugin_files.install(folder, "versioned", PLUGIN)


def slot(name: str, version: str | None) -> str:
    """`[[slots]]` with an agent of that version; None: it never tells one."""
    env = "" if version is None else f'env = {{ AGENT_VERSION = "{version}" }}\n'
    return f'[[slots]]\nname = "{name}"\nkind = "versioned"\n{env}\n'
