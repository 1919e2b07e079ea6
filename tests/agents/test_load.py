"""A real agent takes pastes of 300 lines while 20 other slots stream, and has a thousand readers.

What the fake model received, and when, is the truth.
"""

import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from meshd_core.types import OutputPage, Receipt, SlotDetail
from tests.agents.driving import finished, idle
from tests.bench.crowd import open_stream
from tests.daemon.conftest import Stream

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300), pytest.mark.slow]

STREAMS, RATE = 20, 50
STREAMER = f"""
import sys, time
number, began = 0, time.monotonic()
while True:
    number += 1
    print(f"line {{number}} of {{sys.argv[1]}}", flush=True)
    time.sleep(max(0.0, began + number / {RATE} - time.monotonic()))
"""
SLACK_S = 2.0
"""After a fact until it must be told, on a machine that is busy with 20 streams and whatever else."""
ENDS_WITHIN_S = 15.0
"""After the last byte of an answer. An agent on a busy machine takes seconds to draw it, and is busy meanwhile."""


@pytest.fixture
def streams(agent: Any) -> Iterator[list[Stream]]:
    """Readers, each of a slot of its own, beside the agent's, that prints 50 lines a second."""
    daemon, program = agent.daemon, agent.cwd.parent / "streamer.py"
    program.write_text(STREAMER)
    names = [f"stream-{number}" for number in range(STREAMS)]
    slots = [
        f'[[slots]]\nname = "{name}"\nkind = "generic"\ncommand = [{sys.executable!r}, "{program}", "{name}"]\n'
        for name in names
    ]
    daemon.configure(agent.slot + "".join(slots))
    daemon.reload()
    readers = [Stream(daemon, name) for name in names]
    yield readers
    for reader in readers:
        reader.close()
    daemon.configure(agent.slot)
    daemon.reload(stop_removed=True)


def test_a_paste_of_three_hundred_lines_while_twenty_slots_stream(agent: Any, streams: list[Stream]) -> None:
    idle(agent)
    states = Stream(agent.daemon, agent.name, "events=state")
    turns = []
    try:
        for number in range(2):
            counted = [len(reader.texts()) for reader in streams]
            rows = (f"row {row} of paste {number}; äöü 日本 🎉" for row in range(299))
            prompt = "\n".join([f"SLOW5 paste {number}", *rows])
            receipt = agent.daemon.inject(agent.name, prompt)
            assert (receipt.stage, receipt.changes) == ("completed", ()), receipt
            assert receipt.reply == "".join(f"word{n} " for n in range(1, 51)) + "SLOW-END."
            assert agent.backend.prompts().count(prompt) == 1
            turns.append(times_of(agent, prompt, receipt))
            assert all(len(reader.texts()) > before for reader, before in zip(streams, counted, strict=True))
            time.sleep(2 * SLACK_S)
        assert not wrong_states(states, turns), (turns, timeline(states))
    finally:
        states.close()
    for number, reader in enumerate(streams):
        texts = reader.texts()
        assert texts == [f"line {n} of stream-{number}" for n in range(1, len(texts) + 1)]
        assert not reader.of("gap")


def times_of(agent: Any, prompt: str, receipt: Receipt) -> tuple[float, float, float]:
    """When the model got `prompt`, when it had sent the last byte of its answer, and when the turn was told over."""
    asked = next(one for one in agent.backend.received() if one.prompt == prompt and one.tools)
    answer = next(one for one in agent.backend.answered() if one.answer_to == asked.id)
    assert answer.last_byte is not None
    completed = datetime.fromisoformat(receipt.stages["completed"]).timestamp()
    assert completed - answer.last_byte < ENDS_WITHIN_S
    return asked.t, answer.last_byte, completed


def timeline(states: Stream) -> list[tuple[float, str]]:
    """Since when the slot said which state."""
    said = [state["activity"] for state in states.of("state")]
    return [(datetime.fromisoformat(one["since"]).timestamp(), one["state"]) for one in said]


def wrong_states(states: Stream, turns: list[tuple[float, float, float]]) -> list[tuple[str, set[str]]]:
    """What was said other than busy while the model answered, and other than idle after the turn's end."""
    said = timeline(states)
    found = []
    for asked, answered, completed in turns:
        for right, start, end in (("busy", asked, answered), ("idle", completed, completed + 2 * SLACK_S)):
            since = max(at for at, _ in said if at <= start + SLACK_S)
            during = {state for at, state in said if since <= at < end}
            if during != {right}:
                found.append((right, during))
    return found


READERS, STALLED = 900, 100
MARK = "the last for a thousand readers"
_NUMBER = re.compile(rb'^data: \{"n":(\d+)', re.MULTILINE)


class LineReader:
    """The numbers of the lines that one stream brought, and whether it brought the last of them."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        self._stream = stream
        self._rest = b""
        self.numbers: list[int] = []
        self.over = False

    def take(self) -> None:
        data = self._rest + self._stream.recv(65536)
        end = data.rfind(b"\n\n") + 2
        events, self._rest = data[:end], data[end:]
        self.numbers += map(int, _NUMBER.findall(events))
        self.over = self.over or f"You said: {MARK}".encode() in events


def test_a_thousand_readers_of_a_busy_agent_of_which_a_hundred_stall(agent: Any) -> None:
    idle(agent)
    daemon = agent.daemon
    start = daemon.get(f"/slots/{agent.name}", SlotDetail).output.last_id
    stalled = [open_stream(daemon, 4096, agent.name) for _ in range(STALLED)]
    streams = [open_stream(daemon, slot=agent.name) for _ in range(READERS)]
    readers = [LineReader(stream) for stream in streams]
    try:
        with selectors.DefaultSelector() as selector:
            for stream, reader in zip(streams, readers, strict=True):
                selector.register(stream, selectors.EVENT_READ, reader)
            for number in range(4):
                receipt = daemon.inject(agent.name, f"LONG300 for a thousand readers {number}", until="submitted")
                while receipt.stage == "submitted":
                    take(selector)
                    receipt = daemon.get(f"/injects/{receipt.id}", Receipt)
                assert finished(agent, receipt.id).stage == "completed"
            last = daemon.inject(agent.name, MARK)
            assert (last.stage, last.reply) == ("completed", f"You said: {MARK}")
            deadline = time.monotonic() + 60
            while not all(reader.over for reader in readers):
                take(selector)
                assert time.monotonic() < deadline
        told = [line.n for line in daemon.get(f"/output/{agent.name}?since={start}&limit=1000", OutputPage).lines]
        for reader in readers:
            first = reader.numbers[0]
            assert first == told[0]
            assert reader.numbers == list(range(first, first + len(reader.numbers)))
    finally:
        for stream in (*stalled, *streams):
            stream.close()


def take(selector: selectors.BaseSelector) -> None:
    """Half a second of what comes."""
    until = time.monotonic() + 0.5
    while (left := until - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            key.data.take()
