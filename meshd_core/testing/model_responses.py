"""The fake model's wire protocol OpenAI Responses, as codex speaks it.

Source: OpenAI's public API reference, and what codex 0.169.0 sends and accepts.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from meshd_core.testing.model_plan import Plan
from meshd_core.testing.model_protocols import (
    Conversation,
    Event,
    Payload,
    earlier_prompts,
    error_message,
    last_prompt,
    new_id,
)


class Part(Struct):
    text: str = ""


class Item(Struct):
    """A message, a function call, or a call's output."""

    type: str = "message"
    role: str = ""
    content: str | list[Part] | None = None
    output: Any = None


class Tool(Struct):
    name: str = ""
    type: str = ""


class ResponsesRequest(Struct):
    """What is used of a request; everything else is ignored."""

    model: str = ""
    stream: bool = False
    input: str | list[Item] = ""
    tools: list[Tool] = field(default_factory=list)


class Responses:
    """POST /v1/responses."""

    name: ClassVar[str] = "responses"

    def read(self, body: bytes) -> Conversation:
        """Raises msgspec.DecodeError or ValidationError for what isn't a request."""
        request = msgspec.json.decode(body, type=ResponsesRequest)
        items = request.input if isinstance(request.input, list) else [Item(role="user", content=request.input)]
        last = items[-1] if items else Item()
        asked = [_texts(item) for item in items if item.role == "user"]
        return Conversation(
            model=request.model,
            stream=request.stream,
            prompt=last_prompt(asked[-1] if asked else []),
            earlier=earlier_prompts(asked),
            tools=tuple(tool.name or tool.type for tool in request.tools),
            tool_result=_output(last.output) if last.type.endswith("_output") else None,
        )

    def error(self, status: int) -> Payload:
        code = "rate_limit_exceeded" if status == 429 else str(status)
        return {"error": {"message": error_message(status), "type": "fake_error", "code": code}}

    def whole(self, conversation: Conversation, plan: Plan) -> Payload:
        return self._response(conversation, new_id("resp"), [self._item(plan, new_id("item"))])

    def events(self, conversation: Conversation, plan: Plan) -> Iterator[Event]:
        response, item = new_id("resp"), self._item(plan, new_id("item"))
        yield self._event("response.created", response=self._response(conversation, response, None))
        empty: Payload = {"arguments": ""} if plan.tool else {"content": []}
        begun = {**item, "status": "in_progress", **empty}
        yield self._event("response.output_item.added", output_index=0, item=begun)
        for chunk in () if plan.tool else plan.chunks:
            place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            yield self._event("response.output_text.delta", pause=True, delta=chunk, **place)
        yield self._event("response.output_item.done", output_index=0, item=item)
        yield self._event("response.completed", response=self._response(conversation, response, [item]))

    @staticmethod
    def _event(kind: str, pause: bool = False, **data: Any) -> Event:
        return Event({"type": kind, **data}, kind, pause)

    @staticmethod
    def _response(conversation: Conversation, response: str, output: list[Payload] | None) -> Payload:
        answer: Payload = {
            "id": response, "object": "response", "created_at": 0, "model": conversation.model, "output": output or [],
            "status": "in_progress" if output is None else "completed",
        }  # fmt: skip
        if output is not None:
            answer["usage"] = {
                "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
            }  # fmt: skip
        return answer

    @staticmethod
    def _item(plan: Plan, item: str) -> Payload:
        if plan.tool is not None:
            arguments = msgspec.json.encode(plan.tool.arguments).decode()
            call = {"call_id": new_id("call"), "name": plan.tool.name, "arguments": arguments}
            return {"type": "function_call", "id": item, "status": "completed", **call}
        content = [{"type": "output_text", "text": plan.text, "annotations": []}]
        return {"type": "message", "id": item, "role": "assistant", "status": "completed", "content": content}


def _texts(item: Item) -> list[str]:
    if isinstance(item.content, list):
        return [part.text for part in item.content]
    return [item.content or ""]


def _output(output: Any) -> str:
    """A call's output: a text, or parts of one."""
    if isinstance(output, str):
        return output
    return "\n".join(part.text for part in msgspec.convert(output or [], list[Part]))
