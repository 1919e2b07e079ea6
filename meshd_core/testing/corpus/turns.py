"""From facts to turns: which prompt the backend got when and as what, and the lines of the model's answers."""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from meshd_core.testing.corpus.facts import Exchange, Facts, Typed
from meshd_core.testing.corpus.truth import PromptTruth

_MARKUP = re.compile(r"^\s*(?:#|[-*>+] |\d+\. |```)|\*\*|`|</?\w")
EDGE_COLUMNS = 10
"""What agents leave free at the sides of an answer: a line that may not fit is wrapped, each time differently."""


def turns(facts: Facts, exchanges: Sequence[Exchange]) -> tuple[PromptTruth, ...]:
    """One for each prompt that was typed. Agents may send two queued prompts in one request."""
    found = [PromptTruth(typed.text, round(typed.at, 3), (), None, None, None, "") for typed in facts.typed]
    current: list[int] = []
    for exchange in exchanges:
        if not exchange.goes_on:
            arrived = [i for i, typed in enumerate(facts.typed) if found[i].requested is None]
            brought = _brought(facts.typed, arrived, exchange)
            if brought:
                current = brought
        for index in current:
            found[index] = _grown(found[index], exchange)
    return tuple(found)


def model_lines(exchanges: Sequence[Exchange], stops: Sequence[float], columns: int) -> tuple[str, ...]:
    """The lines of answers that were sent whole and before any of `stops` (interrupts).

    Without those whose look depends on the agent: markdown's markup, and lines that may be wrapped at `columns`.
    """
    lines: list[str] = []
    for exchange in exchanges:
        end = exchange.last_byte
        if not exchange.whole or end is None or any(exchange.arrived <= stop < end for stop in stops):
            continue
        lines += [
            line.strip()
            for line in exchange.text.split("\n")
            if line.strip() and len(line) <= columns - EDGE_COLUMNS and not _MARKUP.search(line)
        ]
    return tuple(lines)


def _brought(typed: Sequence[Typed], waiting: Sequence[int], exchange: Exchange) -> list[int]:
    """Which of the prompts that wait to arrive came with this request; a mangled one counts if it is the only one."""
    sent = [index for index in waiting if typed[index].at <= exchange.arrived]
    texts = [_squeeze(text) for text in (exchange.prompt, *exchange.earlier)]
    same = [index for index in sent if any(_squeeze(typed[index].text) in text for text in texts)]
    return same or (sent if len(sent) == 1 else [])


def _grown(prompt: PromptTruth, exchange: Exchange) -> PromptTruth:
    received = prompt.received
    if not exchange.goes_on:
        own = _squeeze(prompt.text)
        texts = [text for text in (exchange.prompt, *exchange.earlier) if own in _squeeze(text)] or [exchange.prompt]
        received = received if texts[0] in received else (*received, texts[0])
    return replace(
        prompt,
        received=received,
        requested=exchange.arrived if prompt.requested is None else prompt.requested,
        first_byte=exchange.first_byte if prompt.first_byte is None else prompt.first_byte,
        last_byte=exchange.last_byte if exchange.last_byte is not None else prompt.last_byte,
        reply=prompt.reply + exchange.text,
    )


def _squeeze(text: str) -> str:
    return "".join(text.split())
