"""The fake model's wire protocol Gemini: `generateContent` and `streamGenerateContent`, as gemini-cli speaks it.

gemini-cli puts a question of its own, with a JSON schema for the answer, before each turn: which model is to take it
("utility_router"). Source: Google's public API reference, and what gemini-cli 0.61.0 sends and accepts.
"""

from collections.abc import Iterator
from itertools import takewhile
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

STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}
FILES = "\n--- Content from referenced files ---"
ROUTE = {
    "reasoning": "the fake model has no opinion", "model_choice": "flash", "next_speaker": "user",
    "complexity_reasoning": "none", "complexity_score": 10,
}  # fmt: skip
"""An answer to each of gemini-cli's own questions."""


class FunctionResponse(Struct):
    response: dict[str, Any] = field(default_factory=dict)


class Part(Struct, rename="camel"):
    text: str = ""
    function_response: FunctionResponse | None = None


class Content(Struct):
    role: str = ""
    parts: list[Part] = field(default_factory=list)

    def texts(self) -> list[str]:
        texts = [part.text for part in self.parts]
        # Behind a prompt stands what the files hold that it mentions.
        return list(takewhile(lambda text: not text.startswith(FILES), texts))


class FunctionDeclaration(Struct):
    name: str = ""


class Tool(Struct, rename="camel"):
    function_declarations: list[FunctionDeclaration] = field(default_factory=list)


class GenerationConfig(Struct, rename="camel"):
    response_mime_type: str = ""


class GeminiRequest(Struct, rename="camel"):
    """What is used of a request; everything else is ignored."""

    contents: list[Content] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)


class Gemini:
    """POST /v1beta/models/<model>:generateContent, and :streamGenerateContent. The path says what the body doesn't."""

    name: ClassVar[str] = "gemini"

    def __init__(self, path: str) -> None:
        model, _, method = path.rpartition("/")[2].partition(":")
        self._model, self._stream = model, method.startswith("stream")

    def read(self, body: bytes) -> Conversation:
        """Raises msgspec.DecodeError or ValidationError for what isn't a request."""
        request = msgspec.json.decode(body, type=GeminiRequest)
        asked = [content for content in request.contents if content.role == "user"]
        last = asked[-1] if asked else Content()
        results = [part.function_response for part in last.parts if part.function_response is not None]
        return Conversation(
            model=self._model,
            stream=self._stream,
            prompt=last_prompt(last.texts()),
            earlier=earlier_prompts([content.texts() for content in asked]),
            tools=tuple(one.name for tool in request.tools for one in tool.function_declarations),
            tool_result="\n".join(str(result.response.get("output", "")) for result in results) if results else None,
            wants_json=request.generation_config.response_mime_type == "application/json",
        )

    def error(self, status: int) -> Payload:
        kind = STATUSES.get(status, "INTERNAL")
        return {"error": {"code": status, "message": error_message(status), "status": kind}}

    def whole(self, conversation: Conversation, plan: Plan) -> Payload:
        return self._answer(conversation, [self._part(plan)], "STOP")

    def events(self, conversation: Conversation, plan: Plan) -> Iterator[Event]:
        if plan.tool is not None:
            yield Event(self._answer(conversation, [self._part(plan)], "STOP"))
            return
        for chunk in plan.chunks:
            yield Event(self._answer(conversation, [{"text": chunk}]), None, pause=True)
        yield Event(self._answer(conversation, [{"text": ""}], "STOP"))

    @staticmethod
    def _answer(conversation: Conversation, parts: list[Payload], finish: str | None = None) -> Payload:
        candidate: Payload = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        return {
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": conversation.model,
            "responseId": new_id("resp"),
        }  # fmt: skip

    @staticmethod
    def _part(plan: Plan) -> Payload:
        if plan.tool is None:
            return {"text": plan.text}
        return {"functionCall": {"id": new_id("call"), "name": plan.tool.name, "args": plan.tool.arguments}}
