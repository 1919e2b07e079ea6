"""The conversation with a slot's agent, a page at a time: from the agent's own records where its kind reads them, else
from the prompts that were injected, their replies, and the lines of the terminal between them.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.agent_records.turns import CLOCK_SLACK_MS, epoch_ms
from meshd_core.clock import rfc3339
from meshd_core.errors import InvalidField
from meshd_core.slots.agent_channel import AgentChannel
from meshd_core.slots.feed import Feed
from meshd_core.slots.receipts import Entry
from meshd_core.slots.typist import Record
from meshd_core.types import Message, MessagePage, MessageSource, Stage

MAX_PAGE_BYTES = 1024 * 1024
MAX_TEXT_CHARS = 64 * 1024
MARGIN_CHARS = 16 * 1024
"""Judged beyond what is shown: a secret that is cut in two could not be recognised."""
WITHHELD = "[output withheld: what filters leave of a long text is too short to be shown]"
MAX_LINES_BYTES = MAX_TEXT_CHARS
"""Of the terminal's lines, the newest: of these it is the end that matters."""
KEPT_PROMPTS = 200
KEPT_PROMPTS_BYTES = 4 * 1024 * 1024
"""Of a slot's kept prompts, the newest; at least one."""
_READ_LINES = 5000
_LINE = "line-"
_MOST_DIGITS = 18
_INSTEAD: dict[MessageSource, str] = {
    "inject": "the injected prompts and the terminal's lines are shown instead",
    "screen": "the terminal's lines are shown instead",
}


class Prompted(Struct):
    """One prompt of the present run, in memory only: `entry` loses its text at its end."""

    entry: Entry
    text: str
    replied_at: int | None = None
    """Number of the newest line when its reply was known."""


class Prompts:
    """The newest prompts that were typed in the present run by this daemon."""

    def __init__(self) -> None:
        self._typed: deque[Prompted] = deque()
        self._bytes = 0
        self.after_line = 0
        """Number of the last line before the present run; 0 if this daemon didn't see it begin."""

    def __iter__(self) -> Iterator[Prompted]:
        return iter(tuple(self._typed))

    def begin(self, after_line: int) -> None:
        """A run begins, or was adopted: nothing of it was typed yet."""
        self._typed.clear()
        self._bytes = 0
        self.after_line = after_line

    def noting(self, record: Record) -> Record:
        """`record` that also remembers what is entered."""
        text = ""

        def noted(entry: Entry, *stages: Stage) -> None:
            nonlocal text
            if "writing" in stages:
                text = entry.text  # where no more can be proven, it is gone before Enter
            record(entry, *stages)
            if "entered" in stages and not any(one.entry is entry for one in self._typed):
                self._keep(Prompted(entry, text))

        return noted

    def _keep(self, prompted: Prompted) -> None:
        self._typed.append(prompted)
        self._bytes += _bytes(prompted.text)
        while len(self._typed) > KEPT_PROMPTS or (self._bytes > KEPT_PROMPTS_BYTES and len(self._typed) > 1):
            self._bytes -= _bytes(self._typed.popleft().text)

    def replied(self, entry: Entry, last_n: int) -> None:
        """The reply to `entry` is known; its lines end with line `last_n`."""
        for one in self._typed:
            if one.entry is entry:
                one.replied_at = last_n


class ConversationView:
    """Makes pages of one slot's conversation. Every text goes through `filtered`, as on every surface."""

    def __init__(self, channel: AgentChannel, feed: Feed, prompts: Prompts, filtered: Callable[[str], str]) -> None:
        self._channel, self._feed, self._prompts, self._filtered = channel, feed, prompts, filtered

    async def page(self, before: str | None, limit: int) -> MessagePage:
        """The newest `limit` messages, or those before `before`, as far as they fit into `MAX_PAGE_BYTES`. Raises
        InvalidField for a `before` that is no message of the present conversation.
        """
        recorded = await self._channel.messages()
        warning = None if recorded is None else recorded.warning
        end: int | None = None
        if recorded is None or (warning is not None and not recorded.messages):
            placed = self._seen()
            messages = [message for _, message in placed]
            end = None if before is None else _place(placed, before, self._prompts.after_line)
            source: MessageSource = "inject" if any(True for _ in self._prompts) else "screen"
            warning = None if warning is None else f"{warning}; {_INSTEAD[source]}"
        else:
            source = recorded.source
            messages = await asyncio.to_thread(_with_receipts, recorded.messages, tuple(self._prompts))
        if end is None:
            end = len(messages) if before is None else _index(messages, before)
        shown: deque[Message] = deque()
        size = 0
        while end and len(shown) < limit:
            message = self._shown(messages[end - 1])
            size += _size(message)
            if shown and size > MAX_PAGE_BYTES:
                break
            shown.appendleft(message)
            end -= 1
            await asyncio.sleep(0)  # filters take their time, and others have theirs between two messages
        older = shown[0].id if shown and end else None
        return MessagePage(list(shown), source, older, None if warning is None else self._filtered(warning))

    def _shown(self, message: Message) -> Message:
        text, cut = self._piece(message.text)
        tool = message.tool
        if tool is not None:
            command, command_cut = self._piece(tool.command)
            name, _ = self._piece(tool.name)
            tool, cut = replace(tool, name=name, command=command), cut or command_cut
        return replace(message, text=text, tool=tool, cut=cut)

    def _piece(self, text: str) -> tuple[str, bool]:
        """`text` as it may be shown, and whether its end was left out."""
        if len(text) <= MAX_TEXT_CHARS:
            return self._filtered(text), False
        shown = self._filtered(text[: MAX_TEXT_CHARS + MARGIN_CHARS])
        if len(text) > MAX_TEXT_CHARS + MARGIN_CHARS:
            # Its end may be the beginning of a secret.
            shown = shown[:-MARGIN_CHARS] or WITHHELD
        return shown[:MAX_TEXT_CHARS], True

    # -- without records of the agent's own

    def _seen(self) -> list[tuple[int, Message]]:
        """Prompts, replies, and what the terminal showed besides: before them, between them, after the last. Each with
        the number of the line that it begins with.
        """
        lines = self._lines()
        messages: list[tuple[int, Message]] = []
        shown_to = self._prompts.after_line
        for one in self._prompts:
            entry = one.entry
            messages += _from_lines(lines, shown_to, entry.line_mark)
            at = rfc3339(entry.entered_ms)
            prompt = Message(entry.id, "user", "inject", one.text, at, receipt=entry.id)
            messages.append((entry.line_mark, prompt))
            shown_to = max(shown_to, entry.line_mark)
            if entry.reply is not None and one.replied_at is not None:
                reply = Message(f"{entry.id}.reply", "agent", "inject", entry.reply, _ended_at(entry))
                messages.append((entry.line_mark + 1, reply))
                shown_to = max(shown_to, one.replied_at)
        return messages + _from_lines(lines, shown_to, self._feed.last_n())

    def _lines(self) -> list[tuple[int, int, str]]:
        """Number, time and text of the newest lines of the present run."""
        lines: deque[tuple[int, int, str]] = deque()
        size, start = 0, self._feed.tail_lines(_READ_LINES)
        while events := self._feed.read(start):
            for event in events:
                if event.event == "end":
                    lines.clear()
                    size = 0
                elif event.event == "line":
                    lines.append((event.n, event.t_ms, event.data.decode("utf-8", "replace")))
                    size += len(event.data)
            while size > MAX_LINES_BYTES and len(lines) > 1:
                size -= len(lines.popleft()[2].encode())
            start = events[-1].end
        return list(lines)


def _from_lines(lines: Sequence[tuple[int, int, str]], after: int, to: int) -> list[tuple[int, Message]]:
    """The lines from `after` (without it) up to `to` as one message with its place; none if they are blank.

    Its id is where it begins, whether or not that line is still among `lines`: those go, and the message stays.
    """
    number = itemgetter(0)
    first = bisect_right(lines, after, key=number)
    found = lines[first : bisect_right(lines, to, first, key=number)] if to > after else ()
    text = "\n".join(text for _, _, text in found).strip("\n")
    if not text.strip():
        return []
    return [(after + 1, Message(f"{_LINE}{after + 1}", "agent", "screen", text, rfc3339(found[0][1])))]


def _place(placed: Sequence[tuple[int, Message]], before: str, after_line: int) -> int | None:
    """Where lines of this run began that are no message of their own any more: they left the memory, or became a
    reply. None for everything else.
    """
    number = before.removeprefix(_LINE)
    if number == before or not number.isdecimal() or len(number) > _MOST_DIGITS or int(number) <= after_line:
        return None
    if any(message.id == before for _, message in placed):
        return None
    return next((index for index, (begin, _) in enumerate(placed) if begin >= int(number)), len(placed))


def _ended_at(entry: Entry) -> str | None:
    return entry.stages.get(entry.stage) if entry.ended else None


def _with_receipts(messages: Sequence[Message], prompts: Sequence[Prompted]) -> list[Message]:
    """The messages, those that were injected with their receipts: the same text, the first one after its Enter."""
    waiting: dict[str, deque[Prompted]] = {}
    for one in prompts:
        waiting.setdefault("".join(one.text.split()), deque()).append(one)
    since = prompts[0].entry.entered_ms - CLOCK_SLACK_MS if prompts else 0
    found = list(messages)
    for index, message in enumerate(found):
        if not waiting or message.role != "user" or (at := epoch_ms(message.at)) < since:
            continue
        same = waiting.get("".join(message.text.split()))
        if same and at >= same[0].entry.entered_ms - CLOCK_SLACK_MS:
            found[index] = replace(message, receipt=same.popleft().entry.id)
    return found


def _index(messages: Sequence[Message], id: str) -> int:
    for index, message in enumerate(messages):
        if message.id == id:
            return index
    hint = "begin with the newest: the agent may have begun another conversation"
    raise InvalidField("'before' is no message of the present conversation", hint=hint, field="before")


def _size(message: Message) -> int:
    tool = message.tool
    texts = (message.text,) if tool is None else (message.text, tool.name, tool.command)
    return sum(_bytes(text) for text in texts)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
