"""A warning of its own runtime stands over opencode's screen, input box and all: the next prompt is taken all the same.

Each reader of its event stream that goes, as a daemon that dies does, leaves a listener behind there; Node's warning of
too many is printed where the cursor is.
"""

import base64
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from meshd_core.types import Screen
from tests.agents.driving import idle

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.slow, pytest.mark.clis("opencode")]


def read_events(port: int, password: str) -> None:
    """Open the event stream, and go once it has begun."""
    credentials = base64.b64encode(f"opencode:{password}".encode()).decode()
    request = f"GET /event HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {credentials}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        got = b""
        while b"server.connected" not in got:
            data = connection.recv(4096)
            assert data, got
            got += data


def test_a_prompt_is_taken_although_a_warning_stands_over_the_screen(agent: Any) -> None:
    pid = idle(agent).pid
    assert agent.daemon.inject(agent.name, "before").stage == "completed"
    environ = dict(entry.partition("=")[::2] for entry in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    deadline = time.monotonic() + 60
    while "MaxListeners" not in "".join(agent.daemon.get(f"/screen/{agent.name}", Screen).rows):
        assert time.monotonic() < deadline, "no warning: opencode may have been mended"
        read_events(int(argv[argv.index("--port") + 1]), environ["OPENCODE_SERVER_PASSWORD"])
        time.sleep(0.3)
    before = len(agent.backend.prompts())
    receipt = agent.daemon.inject(agent.name, "over the warning", timeout_s=60)
    assert (receipt.stage, receipt.reply, receipt.changes) == ("completed", "You said: over the warning", ()), receipt
    assert agent.backend.prompts()[before:] == ["over the warning"]
    assert "MaxListeners" not in "".join(agent.daemon.get(f"/screen/{agent.name}", Screen).rows)
