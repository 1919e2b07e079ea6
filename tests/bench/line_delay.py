"""How long after a line stood whole on an agent's screen a stream has it.

When it stood there is seen apart from the daemon: by an emulator of our own, from the bytes that an attached terminal
gets.
"""

import statistics
import time
from datetime import datetime
from math import ceil

from msgspec import Struct

from meshd_core.testing.corpus.cast import CastWriter, Header
from meshd_core.testing.corpus.on_screen import compact, first_seen, looks
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import OutputPage, Receipt, SlotDetail
from tests.daemon.attached import attached

PARAGRAPHS = 12
"""As many as a screen has room for: rows that scroll by between two frames are never seen by anyone."""
PROMPTS = 12
WITHIN_S = 60.0
AFTER_S = 2.0
"""The last lines settle after the turn's end."""


class LineDelays(Struct):
    lines: int
    p50_s: float
    p95_s: float


def measure(daemon: DaemonProcess, slot: str) -> LineDelays:
    """Of the paragraphs of one answer, and of answers of one line. Raises RuntimeError if one never came."""
    daemon.wait_for(slot, "idle", WITHIN_S)
    prompts = [f"LONG{PARAGRAPHS}", *(f"line {number} of those that are timed" for number in range(PROMPTS))]
    texts = [f"paragraph {number} of a long answer" for number in range(1, PARAGRAPHS + 1)]
    texts += [f"You said: {prompt}" for prompt in prompts[1:]]
    start = daemon.get(f"/slots/{slot}", SlotDetail).output.last_id
    with attached(daemon, f"/attach/{slot}?mode=view") as terminal:
        began = time.time()
        rows, cols = terminal.size()
        cast = CastWriter(Header(cols, rows))
        cast.output(0.0, terminal.raw)
        receipts = [daemon.inject(slot, prompt, until="accepted") for prompt in prompts]
        ends: float | None = None
        while time.time() < (ends or began + WITHIN_S):
            seen = len(terminal.raw)
            terminal.step()
            cast.output(time.time() - began, terminal.raw[seen:])
            if ends is None and daemon.get(f"/injects/{receipts[-1].id}", Receipt).stage == "completed":
                ends = time.time() + AFTER_S
    drawn = first_seen(looks(cast.finish(time.time() - began)), texts)
    told = _told(daemon, slot, start)
    delays = []
    for text, at in zip(texts, drawn, strict=True):
        line = next((when for when, line in told if compact(text) in compact(line)), None)
        if line is None or at is None:
            raise RuntimeError(f"{slot}: {text!r} was on the screen: {at}, and a line: {line}")
        delays.append(max(0.0, line - began - at))
    delays.sort()
    return LineDelays(len(delays), statistics.median(delays), delays[ceil(len(delays) * 0.95) - 1])


def _told(daemon: DaemonProcess, slot: str, since: str) -> list[tuple[float, str]]:
    """When each line after `since` was told, and its text."""
    found: list[tuple[float, str]] = []
    while True:
        page = daemon.get(f"/output/{slot}?since={since}&limit=1000", OutputPage)
        found += [(datetime.fromisoformat(line.t).timestamp(), line.text) for line in page.lines]
        if not page.lines:
            return found
        since = page.next
