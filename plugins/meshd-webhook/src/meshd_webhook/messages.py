"""Events in words for people, and in the shapes that Slack, Discord and ntfy take.

What an agent shows is untrusted: it must not be able to call a channel together or to break out of the message.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from meshd_core.api import (
    DialogData,
    ExitData,
    FleetEvent,
    HeartbeatData,
    InjectData,
    NodeData,
    SlotData,
)
from meshd_webhook.options import Format

MAX_TEXT = 400
"""Characters of one text of an agent's."""
MAX_CHARS: dict[Format, int] = {"slack": 3000, "discord": 1900, "ntfy": 1000}
"""Of one message. Slack cuts at 40,000 and Discord refuses more than 2,000; ntfy makes an attachment of what has more
than 4,096 bytes, and a character may have four."""


class Message(Struct, frozen=True):
    """One request: its body, its type, the events in it."""

    body: bytes
    content_type: str
    ids: tuple[str, ...]
    headers: dict[str, str]


def messages(format: Format, events: Sequence[FleetEvent]) -> Iterator[Message]:
    """`events` as messages of a chat, in order, as few as its limits allow."""
    for group in _grouped(events, MAX_CHARS[format]):
        text = "\n".join(line for _, line in group)
        ids = tuple(event.id for event, _ in group)
        if format == "slack":
            escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            yield Message(msgspec.json.encode({"text": escaped}), "application/json", ids, {})
        elif format == "discord":
            body = {"content": text, "allowed_mentions": {"parse": []}}
            yield Message(msgspec.json.encode(body), "application/json", ids, {})
        else:
            yield Message(text.encode(), "text/plain; charset=utf-8", ids, {"Title": f"meshd {group[0][0].node}"})


def _grouped(events: Iterable[FleetEvent], most: int) -> Iterator[list[tuple[FleetEvent, str]]]:
    group: list[tuple[FleetEvent, str]] = []
    size = 0
    for event in events:
        line = words(event)[: most - 1]
        if group and size + len(line) + 1 > most:
            yield group
            group, size = [], 0
        group.append((event, line))
        size += len(line) + 1
    if group:
        yield group


def words(event: FleetEvent) -> str:
    """What happened, in a line or a few."""
    where = event.node if event.slot is None else f"{event.slot}@{event.node}"
    match event.data:
        case NodeData(event="up", slots=slots):
            return f"{where} is up with {len(slots)} slots"
        case NodeData(event="reloaded"):
            return f"{where} has read its configuration again"
        case NodeData():
            return f"{where} is going down"
        case SlotData() as slot:
            return f"{where} {_state(slot)}"
        case DialogData(event="opened", dialog=dialog):
            command = f"\n    {_plain(dialog.command)}" if dialog.command else ""
            options = ", ".join(_plain(option.label) for option in dialog.options)
            return f"{where} asks: {_plain(dialog.question)}{command}" + (f"\n    {options}" if options else "")
        case DialogData(dialog=dialog):
            return f"{where} asks no more: {_plain(dialog.question)}"
        case InjectData(stage=stage, receipt=receipt, error=error):
            reason = f": {_plain(error.message)}" if error else ""
            return f"{where}: prompt {receipt} is {stage}{reason}"
        case ExitData(exit=end):
            how = f"code {end.code}" if end.code is not None else end.signal or "nobody knows how"
            return f"{where} ended: {how}"
        case HeartbeatData(slots=counts):
            return f"{where} lives, with {counts.total} slots"


def _state(slot: SlotData) -> str:
    if slot.removed:
        return "is no more"
    if slot.status != "running":
        return f"is {slot.status}" + (f": {_plain(slot.error)}" if slot.error else "")
    until = f" until {slot.activity.until}" if slot.activity.until else ""
    return f"is {slot.activity.state}{until}"


def _plain(text: str) -> str:
    """One line of printable text, cut to its bound."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
