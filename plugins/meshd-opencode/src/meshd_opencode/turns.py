"""Which of OpenCode's messages are the answer to a prompt.

Each step of a turn (text, tools, text again) is an assistant message whose parent is the prompt.
"""

from collections.abc import Sequence

from msgspec import Struct

from meshd_opencode.api_types import StoredMessage

CLOCK_SLACK_MS = 20
"""A prompt is stored after Enter, by the same machine's clock; more would find the turn before."""
_UNFINISHED = (None, "tool-calls", "unknown")
ABORTED = "MessageAbortedError"


class Answer(Struct, frozen=True):
    """The assistant's text for one prompt so far; `ended` once nothing more will come."""

    text: str
    ended: bool


def find_answer(
    messages: Sequence[StoredMessage], prompt: str, entered_at_ms: int, *, exact: bool = False
) -> Answer | None:
    """What the messages (oldest first) hold for `prompt`, or None if it isn't there yet.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """
    since = _since(messages, entered_at_ms)
    same = [message for message in since if _asks(message, prompt)]
    asked = same[-1] if same else next(iter(() if exact else since), None)
    if asked is None:
        return None
    steps = [m for m in messages if m.info.role == "assistant" and m.info.parent == asked.info.id]
    texts = [text for step in steps if (text := step.text())]
    last = steps[-1].info if steps else None
    failed = last is not None and last.error is not None
    if last is not None and last.error is not None and not texts and last.error.name != ABORTED:
        texts = [str(last.error.data.get("message") or last.error.name)]
    ended = failed or (last is not None and last.time.completed is not None and last.finish not in _UNFINISHED)
    return Answer("\n\n".join(texts).strip("\n"), ended)


def _since(messages: Sequence[StoredMessage], entered_at_ms: int) -> list[StoredMessage]:
    return [m for m in messages if m.info.role == "user" and m.info.time.created >= entered_at_ms - CLOCK_SLACK_MS]


def _asks(message: StoredMessage, prompt: str) -> bool:
    return _normal(message.text()) == _normal(prompt)


def _normal(text: str) -> str:
    """`text` without the spaces that a paste gains or loses."""
    return "".join(text.split())
