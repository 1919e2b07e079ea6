"""What an answer means for the batch."""

import time
from email.utils import parsedate_to_datetime

from meshd_core.api import SinkBusy, SinkPaused, SinkRejected

AGAIN = frozenset({408, 425, 429})
MENDED_BY_A_PERSON = frozenset({401, 402, 403, 404, 405, 407, 410, 421, 451})


def judge(status: int, retry_after: str | None) -> Exception | None:
    """None: delivered. The answer's text is never shown: it may repeat what was sent."""
    if 200 <= status < 300:
        return None
    said = f"the receiver answered {status}"
    if status in AGAIN or status >= 500:
        return SinkBusy(said, seconds(retry_after))
    if 300 <= status < 400:
        return SinkPaused(f"{said}: redirects are not followed; name the URL that it leads to")
    if status in MENDED_BY_A_PERSON:
        return SinkPaused(f"{said}: check url, token and secret")
    return SinkRejected(said)


def seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header as seconds: a number, or a date."""
    if retry_after is None:
        return None
    try:
        return float(retry_after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return None
