"""Which of OpenCode's messages are the answer to a prompt.

Each step of a turn (text, tools, text again) is an assistant message whose parent is the prompt.
"""

from collections.abc import Sequence

from meshd_core.api import CLOCK_SLACK_MS, Answer, own_prompt
from meshd_opencode.api_types import StoredMessage

_UNFINISHED = (None, "tool-calls", "unknown")
ABORTED = "MessageAbortedError"


def find_answer(
    messages: Sequence[StoredMessage], prompt: str, entered_at_ms: int, *, exact: bool = False
) -> Answer | None:
    """What the messages (oldest first) hold for `prompt`, or None if it isn't there yet.

    A prompt that the program changed is known by its time alone, unless `exact`.
    """
    asked = own_prompt(_since(messages, entered_at_ms), StoredMessage.text, prompt, exact=exact)
    if asked is None:
        return None
    steps = [m for m in messages if m.info.role == "assistant" and m.info.parent == asked.info.id]
    texts = [text for step in steps if (text := step.text())]
    last = steps[-1].info if steps else None
    failed = last is not None and last.error is not None
    error: str | None = None
    if last is not None and last.error is not None and last.error.name != ABORTED:
        error = str(last.error.data.get("message") or last.error.name)
        texts = texts or [error]
    # A call that a person denies ends the turn.
    denied = bool(steps) and any(part.state is not None and part.state.ended_turn for part in steps[-1].parts)
    ended = (
        failed or denied or (last is not None and last.time.completed is not None and last.finish not in _UNFINISHED)
    )
    return Answer("\n\n".join(texts).strip("\n"), ended, error)


def _since(messages: Sequence[StoredMessage], entered_at_ms: int) -> list[StoredMessage]:
    return [m for m in messages if m.info.role == "user" and m.info.time.created >= entered_at_ms - CLOCK_SLACK_MS]
