"""The demo agent with a model behind it: prompts are answered by the backend, so that the recorder runs without npm.

Run as `python -m meshd_core.testing.corpus.model_demo`, with the backend's address in MESHD_DEMO_MODEL. It shows and
signals what the demo agent does, tries a refused request three times, and asks before it "runs" a command.
"""

import contextlib
import http.client
import json
import math
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.testing.demo_agent import DIALOG, Demo
from meshd_core.testing.demo_terminal import Key, Terminal
from meshd_core.testing.sandbox import base_environment

MODEL_VARIABLE = "MESHD_DEMO_MODEL"
TRIES = 3
RETRY_S = 0.4
TIMEOUT_S = 60.0
TOOLS = [{"name": "bash"}]


class Reply(Struct):
    """What the model answered: text, or a call of the tool; a status other than 200 after the last try."""

    turn: int
    status: int
    text: str = ""
    calls: bool = False


class ModelDemo(Demo):
    """Work is a request in a thread; `_turn` tells its reply from that of an interrupted one."""

    def __init__(self, terminal: Terminal, url: str) -> None:
        super().__init__(terminal, None)
        self._address = url.removeprefix("http://")
        self._messages: list[dict[str, Any]] = []
        self._turn = 0
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._connection: http.client.HTTPConnection | None = None

    def _begin(self, text: str) -> None:
        self._ask(text)

    def _ask(self, content: object) -> None:
        self._messages.append({"role": "user", "content": content})
        self._turn += 1
        self._state, self._slow_s = "slow", math.inf
        threading.Thread(target=self._request, args=(self._turn, list(self._messages)), daemon=True).start()

    def _work(self) -> None:
        super()._work()
        with contextlib.suppress(queue.Empty):
            while True:
                reply = self._replies.get_nowait()
                if reply.turn == self._turn and self._state == "slow":
                    self._take(reply)

    def _take(self, reply: Reply) -> None:
        if reply.status != 200:
            self._end_work(f"error: the model says {reply.status}", "state=error")
        elif reply.calls:
            self._state = "asking"
            self._say(f"\r\x1b[K{DIALOG}")
            self._signal("state=blocked", ":kind=permission")
        else:
            self._messages.append({"role": "assistant", "content": reply.text})
            self._end_work(reply.text.replace("\n", "\r\n"))

    def _answer(self, key: Key) -> None:
        if key.name == "text" and key.text[:1] in "yY":
            self._say("\r\n")
            self._signal("state=working")
            self._ask([{"type": "tool_result", "content": "done"}])
        else:
            super()._answer(key)

    def _interrupt(self) -> None:
        if self._state == "slow":
            self._turn += 1
            if self._connection is not None and self._connection.sock is not None:
                self._connection.sock.close()
        super()._interrupt()

    # -- in the thread

    def _request(self, turn: int, messages: list[dict[str, Any]]) -> None:
        reply = Reply(turn, 0)
        for number in range(TRIES):
            if number:
                time.sleep(RETRY_S)
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                reply = self._try(turn, messages)
            if reply.status == 200 or turn != self._turn:
                break
        self._replies.put(reply)

    def _try(self, turn: int, messages: list[dict[str, Any]]) -> Reply:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        self._connection = connection
        try:
            body = {"model": "demo", "stream": True, "messages": messages, "tools": TOOLS}
            connection.request("POST", "/v1/messages", json.dumps(body))
            answer = connection.getresponse()
            reply = Reply(turn, answer.status)
            for line in answer if answer.status == 200 else ():
                if line.startswith(b"data: "):
                    _read_event(reply, json.loads(line[6:]))
            return reply
        finally:
            connection.close()


def _read_event(reply: Reply, event: dict[str, Any]) -> None:
    if event.get("type") == "content_block_delta":
        reply.text += event["delta"].get("text", "")
        reply.calls |= "partial_json" in event["delta"]


def demo_home(home: Path, cwd: Path, backend_url: str) -> dict[str, str]:
    """A home for this agent: it needs nothing there."""
    home.mkdir(parents=True, exist_ok=True)
    return {**base_environment(home), MODEL_VARIABLE: backend_url}


def main() -> int:
    """The program, until it is told to leave."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with Terminal() as terminal:
            return ModelDemo(terminal, os.environ[MODEL_VARIABLE]).run()
    except EOFError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
