"""The fake model's wire protocols Anthropic Messages and OpenAI Chat Completions, and what all protocols share.

Only what the CLIs use of them. Sources: the providers' public API references, and what claude 2.1 and opencode 1.18
send and accept.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import Struct, field

from meshd_core.testing.model_plan import Plan, plain_prompt

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
Payload = dict[str, Any]


class Event(Struct, frozen=True):
    """One server-sent event; `pause` marks the pieces of text, which the plan delays."""

    data: Payload | str
    name: str | None = None
    pause: bool = False

    def encode(self) -> bytes:
        body = self.data.encode() if isinstance(self.data, str) else msgspec.json.encode(self.data)
        # Gemini CLI's reader of lines takes these for ends of a line.
        body = body.replace("\u2028".encode(), b"\\u2028").replace("\u2029".encode(), b"\\u2029")
        head = f"event: {self.name}\n".encode() if self.name else b""
        return head + b"data: " + body + b"\n\n"


class Block(Struct):
    """A piece of a message's content; `content` is a tool result's."""

    type: str = ""
    text: str = ""
    content: "str | list[Block] | None" = None


class Message(Struct):
    role: str = ""
    content: str | list[Block] | None = None


class ChatFunction(Struct):
    name: str = ""


class ToolSpec(Struct):
    name: str = ""
    function: ChatFunction = field(default_factory=ChatFunction)


class ModelRequest(Struct):
    """What both protocols have in common of a request; everything else is ignored."""

    model: str = ""
    stream: bool = False
    messages: list[Message] = field(default_factory=list)
    tools: list[ToolSpec] = field(default_factory=list)


class Conversation(Struct, frozen=True):
    """A request, read: the last prompt, the tools on offer, and the tool's result if it ends in one."""

    model: str
    stream: bool
    prompt: str
    tools: tuple[str, ...]
    tool_result: str | None
    earlier: tuple[str, ...] = ()
    """The prompts before this one, as far as the request has them: what the CLI remembers."""
    wants_json: bool = False
    """Whether the answer has to be JSON by a schema: a side question that a CLI asks for itself."""


class ModelProtocol(Protocol):
    """One wire protocol: what a request says, and how an answer is written, whole or streamed."""

    name: ClassVar[str]

    def read(self, body: bytes) -> Conversation:
        """Raises msgspec.DecodeError or ValidationError for what isn't a request."""

    def error(self, status: int) -> Payload: ...

    def whole(self, conversation: Conversation, plan: Plan) -> Payload: ...

    def events(self, conversation: Conversation, plan: Plan) -> Iterator[Event]: ...


def error_message(status: int) -> str:
    return f"the fake model answers {status}"


def _text(content: str | list[Block] | None) -> str:
    if isinstance(content, list):
        return "\n".join(block.text for block in content if block.text)
    return content or ""


def earlier_prompts(messages: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The prompts in the texts of all user messages but `last_prompt` of the last: queued ones come in one message."""
    found = [[prompt for text in texts if (prompt := plain_prompt(text))] for texts in messages]
    return tuple(prompt for texts in (*found[:-1], *(texts[:-1] for texts in found[-1:])) for prompt in texts)


def last_prompt(texts: Sequence[str]) -> str:
    """The prompt among a user message's texts: the last that isn't context. claude puts unanswered ones before it."""
    return next((prompt for text in reversed(texts) if (prompt := plain_prompt(text))), "")


def _texts(message: Message) -> list[str]:
    content = message.content
    return [block.text for block in content] if isinstance(content, list) else [content or ""]


def _asked(request: ModelRequest) -> list[list[str]]:
    return [_texts(message) for message in request.messages if message.role == "user"]


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:20]}"


class AnthropicMessages:
    """POST /v1/messages."""

    name: ClassVar[str] = "anthropic"

    def read(self, body: bytes) -> Conversation:
        """Raises msgspec.DecodeError or ValidationError for what isn't a request."""
        request = msgspec.json.decode(body, type=ModelRequest)
        last = next((m for m in reversed(request.messages) if m.role == "user"), Message())
        blocks = last.content if isinstance(last.content, list) else []
        results = [block for block in blocks if block.type == "tool_result"]
        # After a refusal claude sends the refused call's result together with the next prompt.
        if results and last_prompt([block.text for block in blocks[blocks.index(results[-1]) + 1 :]]):
            results = []
        return Conversation(
            model=request.model,
            stream=request.stream,
            prompt=last_prompt(_texts(last)),
            earlier=earlier_prompts(_asked(request)),
            tools=tuple(tool.name for tool in request.tools),
            tool_result="\n".join(_text(block.content) for block in results) if results else None,
        )

    def error(self, status: int) -> Payload:
        kind = ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error_message(status)}}

    def whole(self, conversation: Conversation, plan: Plan) -> Payload:
        answer = self._message(conversation)
        answer["content"] = [self._block(plan)]
        answer["stop_reason"] = "tool_use" if plan.tool else "end_turn"
        return answer

    def events(self, conversation: Conversation, plan: Plan) -> Iterator[Event]:
        yield self._event("message_start", message=self._message(conversation))
        block = self._block(plan)
        if plan.tool:
            yield self._event("content_block_start", index=0, content_block={**block, "input": {}})
            delta = {"type": "input_json_delta", "partial_json": msgspec.json.encode(plan.tool.arguments).decode()}
            yield self._event("content_block_delta", index=0, delta=delta)
        else:
            yield self._event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for chunk in plan.chunks:
                piece = {"type": "text_delta", "text": chunk}
                yield self._event("content_block_delta", pause=True, index=0, delta=piece)
        yield self._event("content_block_stop", index=0)
        stop = {"stop_reason": "tool_use" if plan.tool else "end_turn", "stop_sequence": None}
        yield self._event("message_delta", delta=stop, usage={"output_tokens": 12})
        yield self._event("message_stop")

    @staticmethod
    def _event(kind: str, pause: bool = False, **data: Any) -> Event:
        return Event({"type": kind, **data}, kind, pause)

    @staticmethod
    def _block(plan: Plan) -> Payload:
        if plan.tool is None:
            return {"type": "text", "text": plan.text}
        return {"type": "tool_use", "id": new_id("toolu"), "name": plan.tool.name, "input": plan.tool.arguments}

    @staticmethod
    def _message(conversation: Conversation) -> Payload:
        usage = {"input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        return {
            "id": new_id("msg"), "type": "message", "role": "assistant", "model": conversation.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip


class ChatCompletions:
    """POST /v1/chat/completions."""

    name: ClassVar[str] = "chat"

    def read(self, body: bytes) -> Conversation:
        """Raises msgspec.DecodeError or ValidationError for what isn't a request."""
        request = msgspec.json.decode(body, type=ModelRequest)
        last = next((m for m in reversed(request.messages) if m.role == "user"), Message())
        final = request.messages[-1] if request.messages else Message()
        return Conversation(
            model=request.model,
            stream=request.stream,
            prompt=last_prompt(_texts(last)),
            earlier=earlier_prompts(_asked(request)),
            tools=tuple(tool.function.name for tool in request.tools),
            tool_result=_text(final.content) if final.role == "tool" else None,
        )

    def error(self, status: int) -> Payload:
        kind = ERROR_TYPES.get(status, "api_error")
        return {"error": {"message": error_message(status), "type": kind, "code": str(status)}}

    def whole(self, conversation: Conversation, plan: Plan) -> Payload:
        message: Payload = {"role": "assistant", "content": None if plan.tool else plan.text}
        if plan.tool:
            message["tool_calls"] = [self._call(plan)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if plan.tool else "stop"}
        return self._answer(conversation, "chat.completion", [choice], usage=True)

    def events(self, conversation: Conversation, plan: Plan) -> Iterator[Event]:
        yield self._chunk(conversation, {"role": "assistant", "content": ""})
        if plan.tool:
            yield self._chunk(conversation, {"tool_calls": [{**self._call(plan), "index": 0}]})
        for chunk in plan.chunks:
            yield self._chunk(conversation, {"content": chunk}, pause=True)
        yield self._chunk(conversation, {}, finish="tool_calls" if plan.tool else "stop")
        yield Event(self._answer(conversation, "chat.completion.chunk", [], usage=True))
        yield Event("[DONE]")

    def _chunk(self, conversation: Conversation, delta: Payload, finish: str = "", pause: bool = False) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish or None}
        return Event(self._answer(conversation, "chat.completion.chunk", [choice], usage=False), None, pause)

    @staticmethod
    def _answer(conversation: Conversation, kind: str, choices: list[Payload], usage: bool) -> Payload:
        answer: Payload = {
            "id": new_id("chatcmpl"), "object": kind, "created": 0, "model": conversation.model, "choices": choices,
        }  # fmt: skip
        if usage:
            answer["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return answer

    @staticmethod
    def _call(plan: Plan) -> Payload:
        if plan.tool is None:
            return {}
        arguments = msgspec.json.encode(plan.tool.arguments).decode()
        return {"id": new_id("call"), "type": "function", "function": {"name": plan.tool.name, "arguments": arguments}}
