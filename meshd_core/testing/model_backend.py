"""A fake model backend on loopback, so that real agent CLIs run whole turns without a network or an account.

Run as `python -m meshd_core.testing.model_backend --port 0 --log FILE`: it prints its URL. In tests, use ModelBackend.
Speaks Anthropic Messages, OpenAI Chat Completions and Responses, and Gemini, streaming and not; model_plan.py says
what it answers.
"""

import argparse
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Struct

from meshd_core.testing.model_gemini import ROUTE, Gemini
from meshd_core.testing.model_plan import Plan, plan_answer
from meshd_core.testing.model_protocols import AnthropicMessages, ChatCompletions, Conversation, ModelProtocol
from meshd_core.testing.model_responses import Responses

MODEL = "fake-model"
MAX_BODY_BYTES = 32 * 1024 * 1024
SOCKET_TIMEOUT_S = 120.0
"""For one read or write: no client may hold a thread for good."""


class Received(Struct, frozen=True):
    """What the model got: one request, as the log holds it."""

    t: float
    protocol: str
    model: str
    stream: bool
    prompt: str
    tools: tuple[str, ...]
    tool_result: str | None
    status: int
    earlier: tuple[str, ...] = ()
    """The prompts before this one that came with it."""
    id: int = 0
    """Its number, from 1."""


class Answered(Struct, frozen=True):
    """What the model sent to the request with the number `answer_to`, once that was over; in the log a line, too.

    `whole` is false if the client hung up before the end; `text` is what had been sent by then. Times are as
    `Received.t`, seconds since 1970; None: not a byte was sent.
    """

    answer_to: int
    status: int
    first_byte: float | None = None
    last_byte: float | None = None
    whole: bool = False
    text: str = ""
    tool: str | None = None
    """The tool that it called."""


class ModelBackend:
    """The backend in a thread; a context manager. `url` is `http://127.0.0.1:<port>`."""

    def __init__(self, log: Path | None = None, port: int = 0) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._answered: list[Answered] = []
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.backend = self
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "ModelBackend":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def received(self) -> list[Received]:
        """Every request so far, oldest first; titles and other side requests have no tools."""
        with self._lock:
            return list(self._received)

    def answered(self) -> list[Answered]:
        """Every answer that is over, in the order of their ends."""
        with self._lock:
            return list(self._answered)

    def prompts(self) -> list[str]:
        """The prompts of real turns, each once however often its conversation was sent again."""
        return [r.prompt for r in self.received() if r.tools and r.tool_result is None]

    def note(self, conversation: Conversation, protocol: str, status: int) -> int:
        """Record a request, in memory and as one JSON line in the log; its number."""
        with self._lock:
            entry = Received(
                time.time(), protocol, conversation.model, conversation.stream, conversation.prompt,
                conversation.tools, conversation.tool_result, status, conversation.earlier, len(self._received) + 1,
            )  # fmt: skip
            self._received.append(entry)
            self._log_line(entry)
            return entry.id

    def note_answer(self, answer: Answered) -> None:
        """Record what was sent, likewise."""
        with self._lock:
            self._answered.append(answer)
            self._log_line(answer)

    def _log_line(self, entry: Received | Answered) -> None:
        if self._log is not None:
            with self._log.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")

    def times_asked(self, prompt: str) -> int:
        """How often a turn with this prompt was asked for so far: by a CLI that tries again."""
        return self.prompts().count(prompt)

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the backend's end."""
        if seconds > 0:
            self._closing.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    backend: ModelBackend

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle of an answer is no error: CLIs do it at every interrupt."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Sending:
    """One answer on its way."""

    def __init__(self, request: int, plan: Plan) -> None:
        self._request, self._plan = request, plan
        self._first: float | None = None
        self._last: float | None = None
        self.pieces = 0
        self.finished = False

    def sent(self) -> None:
        """Bytes were written just now."""
        self._last = time.time()
        self._first = self._first or self._last

    def answered(self) -> Answered:
        plan = self._plan
        text = "".join(plan.chunks[: self.pieces])
        tool = plan.tool.name if plan.tool is not None else None
        return Answered(self._request, plan.status, self._first, self._last, self.finished, text, tool)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_TIMEOUT_S
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr: the JSONL log has it."""

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("/models"):
            entry = {"id": MODEL, "object": "model", "created": 0, "owned_by": "meshd"}
            self._json(200, {"object": "list", "data": [entry]})
        else:
            self._json(404, {"error": {"message": "not found", "type": "not_found_error"}})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if path.endswith("/messages"):
            self._answer(AnthropicMessages(), body)
        elif path.endswith("/chat/completions"):
            self._answer(ChatCompletions(), body)
        elif path.endswith("/responses"):
            self._answer(Responses(), body)
        elif path.endswith((":generateContent", ":streamGenerateContent")):
            self._answer(Gemini(path), body)
        elif path.endswith(":countTokens"):
            self._json(200, {"totalTokens": 10})
        elif path.endswith("/count_tokens"):
            self._json(200, {"input_tokens": 10})
        else:
            self._json(404, {"error": {"message": "not found", "type": "not_found_error"}})

    def _answer(self, protocol: ModelProtocol, body: bytes) -> None:
        try:
            conversation = protocol.read(body)
        except msgspec.MsgspecError:
            self._json(400, protocol.error(400))
            return
        backend = self.server.backend
        if conversation.wants_json:
            plan = Plan(chunks=(msgspec.json.encode(ROUTE).decode(),))
        else:
            tried = backend.times_asked(conversation.prompt)
            plan = plan_answer(conversation.prompt, conversation.tools, conversation.tool_result, tried)
        sending = _Sending(backend.note(conversation, protocol.name, plan.status), plan)
        try:
            backend.pause(plan.hang_s)
            self._send_plan(protocol, conversation, plan, sending)
            sending.finished = True
        finally:
            backend.note_answer(sending.answered())

    def _send_plan(self, protocol: ModelProtocol, conversation: Conversation, plan: Plan, sending: "_Sending") -> None:
        if plan.status == 200 and conversation.stream:
            self._stream(protocol, conversation, plan, sending)
            return
        if plan.status != 200:
            self._json(plan.status, protocol.error(plan.status), retry_after=plan.status in (429, 529))
        else:
            self._json(200, protocol.whole(conversation, plan))
            sending.pieces = len(plan.chunks)
        sending.sent()

    def _stream(self, protocol: ModelProtocol, conversation: Conversation, plan: Plan, sending: "_Sending") -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-cache")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for event in protocol.events(conversation, plan):
            self.wfile.write(event.encode())
            self.wfile.flush()
            sending.sent()
            if event.pause:
                sending.pieces += 1
                self.server.backend.pause(plan.delay_s)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(min(int(self.headers.get("content-length") or 0), MAX_BODY_BYTES))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            if len(body) + size > MAX_BODY_BYTES:
                raise ConnectionAbortedError("the request is too large")
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _json(self, status: int, value: dict[str, Any], retry_after: bool = False) -> None:
        self._send(status, msgspec.json.encode(value), "application/json", retry_after)

    def _send(self, status: int, body: bytes, content_type: str = "text/plain", retry_after: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        if retry_after:
            self.send_header("retry-after", "2")
        self.end_headers()
        self.wfile.write(body)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m meshd_core.testing.model_backend", description="a fake model")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--log", type=Path, help="file that gets a JSON line for each request")
    options = parser.parse_args(arguments)
    try:
        with ModelBackend(options.log, options.port) as backend:
            sys.stdout.write(f"{backend.url}\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
