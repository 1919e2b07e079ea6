"""`GET /output`: one page of lines out of a slot's events, with what was lost before them."""

import msgspec

from meshd_core.clock import monotonic
from meshd_core.http.cursors import id_of, lost_before_tail
from meshd_core.http.service import Feed
from meshd_core.http.sse import TimeText
from meshd_core.types import Gap, Line, OutputPage

MAX_PAGE_BYTES = 1024 * 1024
_READ_BYTES = 65536


def read_page(feed: Feed, start: int, gap: Gap | None, limit: int) -> OutputPage:
    """At most `limit` lines after `start` and at most about 1 MiB of text. A gap ends the page or stands before it."""
    lines: list[Line] = []
    position, size = start, 0
    times = TimeText()
    while len(lines) < limit and size < MAX_PAGE_BYTES:
        if position < feed.tail:
            gap = _sum(gap, lost_before_tail(feed, position, None))
            position = feed.tail
        events = feed.read(position, _READ_BYTES)
        if not events:
            break
        for event in events:
            if event.event == "line":
                text = event.data.decode("utf-8", "replace")
                lines.append(Line(id=id_of(feed, event.end), n=event.n, t=times.of(event.t_ms), text=text))
                size += len(event.data)
            elif event.event == "gap":
                if lines:
                    return OutputPage(lines=lines, next=id_of(feed, position), gap=gap)
                gap = _sum(gap, msgspec.json.decode(event.data, type=Gap))
            position = event.end
            if len(lines) >= limit:
                break
    return OutputPage(lines=lines, next=id_of(feed, position), gap=gap)


async def wait_for_page(feed: Feed, start: int, gap: Gap | None, limit: int, wait_s: float) -> OutputPage:
    """The same, but if there's nothing yet wait up to `wait_s` seconds for it."""
    deadline = monotonic() + wait_s
    position = start
    while True:
        seen = feed.head
        page = read_page(feed, position, gap, limit)
        left_s = deadline - monotonic()
        if page.lines or page.gap is not None or left_s <= 0 or feed.closing.is_set():
            return page
        position = max(position, seen)
        await feed.wait(feed.head, left_s)


def _sum(one: Gap | None, other: Gap) -> Gap:
    if one is None:
        return other
    known = one.lost_lines is not None and other.lost_lines is not None
    lines = (one.lost_lines or 0) + (other.lost_lines or 0) if known else None
    return Gap(lines, one.lost_bytes + other.lost_bytes)
