"""How OpenCode is started: with an HTTP port and a password of its own, so that its state can be asked for."""

import secrets
import socket
import time
from collections.abc import Sequence

from meshd_core.api import AgentKind, AgentSession, Launch, LaunchSpec, Run, npm_version
from meshd_opencode.http_client import Address
from meshd_opencode.profile import PROFILE
from meshd_opencode.session import CONVERSATION, OpenCodeSession

PORT, PASSWORD, USERNAME, VERSION = "port", "password", "username", "version"
PACKAGE = "opencode-ai"
PASSWORD_VARIABLE = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - a variable's name
USERNAME_VARIABLE = "OPENCODE_SERVER_USERNAME"
READY_MS = 15_000
"""By then the terminal takes keys: 4 to 6.5 s were measured."""
_CHOOSES_SESSION = ("--continue", "-c", "--session", "-s")


class OpenCodeKind(AgentKind):
    """OpenCode; permissions are left as configured."""

    profile = PROFILE

    def launch(self, spec: LaunchSpec) -> Launch:
        given = (*spec.command[1:], *spec.args)
        port = _option(given, "--port")
        own: list[str] = []
        if port is None:
            # `--port 0` does not mean "any free port" here: 1.18.33 then takes 4096.
            port = str(_free_port())
            own += ["--hostname", "127.0.0.1", "--port", port]
        # Not `--continue` where it had none: the folder's newest may be somebody else's.
        conversation = next(spec.conversations(CONVERSATION), None)
        if any(argument.partition("=")[0] in _CHOOSES_SESSION for argument in given):
            conversation = None
        if conversation is not None:
            own += ["--session", conversation]
        password = spec.env.get(PASSWORD_VARIABLE) or secrets.token_urlsafe(32)
        username = spec.env.get(USERNAME_VARIABLE) or "opencode"
        env = {PASSWORD_VARIABLE: password}
        if "OPENCODE_DISABLE_AUTOUPDATE" not in spec.env:
            env["OPENCODE_DISABLE_AUTOUPDATE"] = "1"
        meta = {PORT: port, PASSWORD: password, USERNAME: username}
        if conversation is not None:
            meta[CONVERSATION] = conversation
        if (version := npm_version(spec.command[0], PACKAGE, spec.env.get("PATH"))) is not None:
            meta[VERSION] = version
        return Launch(argv=(*spec.command, *own, *spec.args), env=env, meta=meta)

    def session(self, run: Run) -> AgentSession:
        port = run.meta.get(PORT, "")
        if not port.isdecimal() or port == "0":
            return AgentSession()
        address = Address(int(port), run.meta.get(USERNAME, ""), run.meta.get(PASSWORD, ""))
        adopted = time.time() * 1000 - run.started_at_ms > READY_MS
        conversation = run.found_out.get(CONVERSATION, run.meta.get(CONVERSATION))
        return OpenCodeSession(address, adopted, run.started_at_ms, conversation, run.meta.get(VERSION))


def _option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option as `--name value` or `--name=value`."""
    for index, argument in enumerate(arguments):
        if argument == name:
            return arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def _free_port() -> int:
    """A port that is free now. Another process may take it first: then the password keeps us from talking to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
