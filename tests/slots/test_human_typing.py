"""While a person types, no prompt is typed between; the hold ends by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from meshd_core.contracts.kinds import KindProfile, Observation
from meshd_core.errors import HumanTyping
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.human_typing import TypingHold
from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.receipts import Draft, Entry, ReceiptStore
from meshd_core.slots.turns import Outcome
from meshd_core.types import InjectRequest

pytestmark = pytest.mark.anyio


class InstantTypist:
    """Types by noting it, and proves nothing more."""

    def __init__(self) -> None:
        self.typed: list[str] = []
        self.queue: InjectQueue

    async def type(self, entry: Entry, left: Draft | None) -> None:
        self.typed.append(entry.text)
        entry.capped = True
        self.queue.record(entry, "writing", "written", "entered")


@asynccontextmanager
async def idle_queue(folder: Path) -> AsyncIterator[tuple[InjectQueue, InstantTypist]]:
    profile = KindProfile(name="test", title="Test", commands=("test",), install_hint="", proves="written")
    tracker = ActivityTracker(profile, lambda: None)
    tracker.observe(Observation("api", "test", "idle"))
    store = ReceiptStore(folder / "receipts.db")

    async def no_reply(entry: Entry, interrupted: bool) -> Outcome:
        return Outcome()

    queue = InjectQueue("s", "n", profile, store, tracker, lambda receipt: None, lambda: None, no_reply, lambda: 9.0)
    typist = InstantTypist()
    typist.queue = queue
    queue.agent_started(cast(Any, typist))
    worker = asyncio.ensure_future(queue.run())
    try:
        yield queue, typist
    finally:
        worker.cancel()
        queue.human.release()
        store.close()


async def test_the_hold_lasts_until_its_time_after_the_last_key() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    hold = TypingHold(lambda: None if hold.active else ended.set(), hold_s=0.2)
    hold.typed()
    await asyncio.sleep(0.1)
    last = loop.time()
    hold.typed()
    assert hold.active
    assert 0.1 < hold.left_s <= 0.2
    await asyncio.wait_for(ended.wait(), 10)
    assert loop.time() - last >= 0.2
    assert not hold.active
    assert hold.left_s == 0


async def test_a_release_ends_the_hold_at_once_and_tells_it() -> None:
    told: list[bool] = []
    hold = TypingHold(lambda: told.append(hold.active))
    hold.typed()
    hold.typed()
    hold.release()
    hold.release()
    assert told == [True, False]


async def test_a_prompt_waits_until_the_person_is_done(tmp_path: Path) -> None:
    async with idle_queue(tmp_path) as (queue, typist):
        queue.human.typed()
        assert queue.held == "typing"
        entry = queue.accept(InjectRequest(text="later"), "p", None)
        receipt = await queue.wait(entry, "written", 0.3)
        assert receipt.stage == "accepted"
        assert typist.typed == []
        queue.human.release()
        receipt = await queue.wait(entry, "written", 10)
        assert receipt.stage == "entered"
        assert typist.typed == ["later"]
        assert queue.held is None


@pytest.mark.parametrize("when", ["now", "steer"])
async def test_what_cannot_wait_is_refused(tmp_path: Path, when: Any) -> None:
    async with idle_queue(tmp_path) as (queue, typist):
        queue.human.typed()
        with pytest.raises(HumanTyping) as refused:
            queue.accept(InjectRequest(text="x", when=when), "p", None)
        assert 0 < cast(float, refused.value.details["retry_after_s"]) <= 15
        assert refused.value.code == "human_typing"
        assert typist.typed == []


async def test_the_end_of_the_run_ends_the_hold(tmp_path: Path) -> None:
    async with idle_queue(tmp_path) as (queue, _):
        queue.human.typed()
        queue.agent_exited("gone")
        assert queue.held is None
