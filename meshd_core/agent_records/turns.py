"""Turns in an agent's own records: which one is the answer to a prompt that we typed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct

from meshd_core.unseen import squeeze

CLOCK_SLACK_MS = 20
"""A prompt is recorded after Enter, by the same machine's clock; more would find the turn before."""
REPLY_WAIT_S = 2.0
"""Measured: the last record comes up to 140 ms after the model's last byte, and up to 220 ms on a busy machine."""
REPLY_POLL_S = 0.05
T = TypeVar("T")


class Answer(Struct, frozen=True):
    """The assistant's text for one prompt so far; `ended` once nothing more will come, `error` the words of the error
    that ended it.
    """

    text: str
    ended: bool
    error: str | None = None


def same_prompt(recorded: str, typed: str) -> bool:
    """Whether both are one prompt: agents trim, wrap and indent what is pasted, so what isn't seen doesn't count."""
    return squeeze(recorded) == squeeze(typed)


def own_prompt(since: Sequence[T], text: Callable[[T], str], prompt: str, *, exact: bool) -> T | None:
    """Of the prompts recorded since Enter, oldest first, the newest that is `prompt`.

    Unless `exact`, else the first: a prompt that the agent changed is known by its time alone.
    """
    same = [one for one in since if same_prompt(text(one), prompt)]
    return same[-1] if same else next(iter(() if exact else since), None)


async def wait_for_reply(find: Callable[[], Awaitable[Answer | None]]) -> str | None:
    """The text of the answer once it has ended, empty if nothing was said; as far as it is there after `REPLY_WAIT_S`;
    None: nothing is.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + REPLY_WAIT_S
    answer: Answer | None = None
    while loop.time() < deadline:
        answer = await find()
        if answer is not None and answer.ended:
            return answer.text
        await asyncio.sleep(REPLY_POLL_S)
    return answer.text if answer is not None and answer.text else None


def epoch_ms(timestamp: str | None) -> float:
    """An ISO 8601 time as milliseconds since 1970; 0 for what is none."""
    try:
        return datetime.fromisoformat(timestamp or "").timestamp() * 1000
    except ValueError:
        return 0.0
