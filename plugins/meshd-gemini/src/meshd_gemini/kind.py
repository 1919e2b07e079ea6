"""How Gemini CLI is started: with a session id of ours, so that its log can be found."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from meshd_core.api import AgentKind, AgentSession, Launch, LaunchSpec, Run, is_older, npm_version
from meshd_gemini.chat import find_chats
from meshd_gemini.profile import PROFILE
from meshd_gemini.session import SESSION_ID, GeminiSession

HOME, VERSION = "gemini_home", "version"
PACKAGE = "@google/gemini-cli"
# Without it Gemini CLI starts itself a second time, to give itself more memory.
ENVIRONMENT = {"GEMINI_CLI_NO_RELAUNCH": "true"}
"""Unless the slot's own environment says otherwise."""
_CHOOSES_SESSION = ("--session-id", "--session-file", "--resume", "-r", "--prompt", "-p")


class GeminiKind(AgentKind):
    """Gemini CLI; the approval mode is never touched."""

    profile = PROFILE

    def launch(self, spec: LaunchSpec) -> Launch:
        home = gemini_home(spec.env)
        meta = {HOME: str(home)}
        if (version := npm_version(spec.command[0], PACKAGE, spec.env.get("PATH"))) is not None:
            meta[VERSION] = version
        session_args: tuple[str, ...] = ()
        if not any(argument.partition("=")[0] in _CHOOSES_SESSION for argument in (*spec.command[1:], *spec.args)):
            # Resuming a conversation that has no log would end the program at once.
            used = (one for one in spec.conversations(SESSION_ID) if find_chats(home, one))
            if (last := next(used, None)) is not None:
                session_args, meta[SESSION_ID] = ("--resume", last), last
            elif not is_older(version, "0.41.0"):  # which has no such option
                new = str(uuid.uuid4())
                session_args, meta[SESSION_ID] = ("--session-id", new), new
        env = {name: value for name, value in ENVIRONMENT.items() if name not in spec.env}
        return Launch(argv=(*spec.command, *session_args, *spec.args), env=env, meta=meta)

    def session(self, run: Run) -> AgentSession:
        home, session_id = run.meta.get(HOME), run.meta.get(SESSION_ID)
        folder = None if home is None else Path(home)
        goes_on_as = run.found_out.get(SESSION_ID, session_id)
        return GeminiSession(folder, session_id, run.meta.get(VERSION), run.started_at_ms, goes_on_as)


def gemini_home(env: Mapping[str, str]) -> Path:
    """Where Gemini CLI keeps its sessions: `.gemini` below GEMINI_CLI_HOME, else below the home."""
    return Path(env.get("GEMINI_CLI_HOME") or env.get("HOME") or Path.home()) / ".gemini"
