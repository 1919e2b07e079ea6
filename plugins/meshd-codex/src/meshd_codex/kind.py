"""How Codex is started: without its own daemon, with the dialogs off that no signal tells of, inline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from meshd_codex.profile import PROFILE
from meshd_codex.rollout import find_rollout
from meshd_codex.session import THREAD, CodexSession
from meshd_core.api import AgentKind, AgentSession, Launch, LaunchSpec, Run, is_older, npm_version

HOME, VERSION = "codex_home", "version"
PACKAGE = "@openai/codex"
SETTINGS = {
    # Both put a dialog before the prompt: Enter would install an update, or go on with another model.
    "check_for_update_on_startup": "false",
    "notice.hide_rate_limit_model_nudge": "true",
    # On the alternate screen it draws the end of a burst and never the rows above it; 520 of 520 rows of an answer came
    # without.
    "tui.alternate_screen": "never",
    # Without it, they come before a conversation as if somebody had said them.
    "tui.show_tooltips": "false",
}
"""Given as `-c`, for this run only, unless the slot's own arguments set them."""
_CHOOSES_SESSION = ("resume", "fork")


class CodexKind(AgentKind):
    """Codex; approvals and sandbox are left as configured."""

    profile = PROFILE

    def launch(self, spec: LaunchSpec) -> Launch:
        home = codex_home(spec.env)
        given = (*spec.command[1:], *spec.args)
        meta = {HOME: str(home)}
        if (version := npm_version(spec.command[0], PACKAGE, spec.env.get("PATH"))) is not None:
            meta[VERSION] = version
        resume: tuple[str, ...] = ()
        # A conversation without a prompt has no log, and resuming it would end the program at once.
        used = (one for one in spec.conversations(THREAD) if find_rollout(home, one) is not None)
        chosen = any(argument in _CHOOSES_SESSION for argument in given)
        if not chosen and (last := next(used, None)) is not None:
            resume, meta[THREAD] = ("resume", last), last
        return Launch(argv=(*spec.command, *_own_arguments(given, version), *resume, *spec.args), meta=meta)

    def session(self, run: Run) -> AgentSession:
        if HOME not in run.meta:
            return AgentSession()
        home = Path(run.meta[HOME])
        thread = run.found_out.get(THREAD, run.meta.get(THREAD))
        return CodexSession(run.pid, run.started_at_ms, thread, run.meta.get(VERSION), home)


def codex_home(env: Mapping[str, str]) -> Path:
    """Where Codex keeps its sessions: CODEX_HOME, else `~/.codex`."""
    configured = env.get("CODEX_HOME")
    return Path(configured) if configured else Path(env.get("HOME") or Path.home()) / ".codex"


def _own_arguments(given: Sequence[str], version: str | None) -> list[str]:
    # Measured with 0.169.0: without it a daemon is started that outlives the program and copies 400 MB of it. Before
    # 0.156.0 there was none, and the option is an error.
    own = [] if "--no-daemon" in given or is_older(version, "0.156.0") else ["--no-daemon"]
    for key, value in SETTINGS.items():
        if not any(argument.removeprefix("--config=").startswith(f"{key}=") for argument in given):
            own += ["-c", f"{key}={value}"]
    return own
