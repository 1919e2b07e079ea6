"""How Claude Code is started: with a session id of ours, so that its log can be found."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from meshd_claude.log import find_log
from meshd_claude.profile import PROFILE
from meshd_claude.session import SESSION_ID, ClaudeSession
from meshd_core.api import AgentKind, AgentSession, Launch, LaunchSpec, Run

CONFIG_DIR = "config_dir"
ENVIRONMENT = {
    "DISABLE_AUTOUPDATER": "1",
    # On the alternate screen, rows that a fast answer pushes out between two frames are never drawn: 185 of 260 rows at
    # full speed could be read there, all 260 without it.
    "CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN": "1",
}
"""Unless the slot's own environment says otherwise."""
_CHOOSES_SESSION = ("--session-id", "--resume", "-r", "--continue", "-c", "--from-pr", "--print", "-p")


class ClaudeKind(AgentKind):
    """Claude Code; the permission mode is never touched."""

    profile = PROFILE

    def launch(self, spec: LaunchSpec) -> Launch:
        config_dir = config_folder(spec.env)
        meta = {CONFIG_DIR: str(config_dir)}
        session_args: tuple[str, ...] = ()
        if not any(argument.partition("=")[0] in _CHOOSES_SESSION for argument in (*spec.command[1:], *spec.args)):
            # A conversation without a prompt has no log, and resuming it would end the program at once.
            used = (one for one in spec.conversations(SESSION_ID) if find_log(config_dir, one) is not None)
            if (last := next(used, None)) is not None:
                session_args, meta[SESSION_ID] = ("--resume", last), last
            else:
                new = str(uuid.uuid4())
                session_args, meta[SESSION_ID] = ("--session-id", new), new
        env = {name: value for name, value in ENVIRONMENT.items() if name not in spec.env}
        return Launch(argv=(*spec.command, *session_args, *spec.args), env=env, meta=meta)

    def session(self, run: Run) -> AgentSession:
        config_dir = run.meta.get(CONFIG_DIR)
        if config_dir is None:
            return AgentSession()
        session_id = run.found_out.get(SESSION_ID, run.meta.get(SESSION_ID))
        return ClaudeSession(run.pid, run.started_at_ms, Path(config_dir), session_id)


def config_folder(env: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its sessions: CLAUDE_CONFIG_DIR, else `~/.claude`."""
    configured = env.get("CLAUDE_CONFIG_DIR")
    return Path(configured) if configured else Path(env.get("HOME") or Path.home()) / ".claude"
