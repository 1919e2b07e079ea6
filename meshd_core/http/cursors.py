"""Where a reader starts: ids of the wire (`<epoch>-<offset>`), and the gap for what is no longer held."""

from meshd_core.errors import InvalidField
from meshd_core.http.service import Feed
from meshd_core.terminal.records import format_id, parse_id
from meshd_core.types import Gap

OLDEST = "oldest"


def id_of(feed: Feed, offset: int) -> str:
    """A position as the wire names it."""
    return format_id(feed.epoch, offset)


def resume_at(feed: Feed, text: str) -> tuple[int, Gap | None]:
    """The position after the event `text`; if that isn't held, the oldest held and the gap to tell first.

    Never raises: an id is what a client remembered, however long ago and from whatever daemon.
    """
    found = parse_id(text)
    if found is None or found[0] != feed.epoch:
        return feed.tail, Gap(None, feed.tail)  # all that this epoch ever lost
    offset = found[1]
    if feed.valid(offset):
        return offset, None
    return feed.tail, lost_before_tail(feed, offset, 0 if offset == 0 else None)


def since(feed: Feed, text: str) -> tuple[int, Gap | None]:
    """The same for `?since=`, which a person typed: `oldest` is fine, garbage raises InvalidField."""
    if text == OLDEST:
        return feed.tail, None
    if parse_id(text) is None:
        raise InvalidField("'since' is neither 'oldest' nor the id of an event", field="since")
    return resume_at(feed, text)


def lost_before_tail(feed: Feed, position: int, last_n: int | None) -> Gap:
    """What a reader at `position` missed, whose last line had the number `last_n` (None: not known)."""
    if position >= feed.tail:
        return Gap(None, 0)
    lines = None if last_n is None else max(feed.first_n() - last_n - 1, 0)
    return Gap(lines, feed.tail - position)
