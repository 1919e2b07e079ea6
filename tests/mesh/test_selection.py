"""Selections: which slots match, which is taken first, and that a prompt goes to one slot at most."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.errors import IdempotencyMismatch, InvalidField, MeshdError, NoIdleSlot, SlotBusy
from meshd_core.mesh import selection
from meshd_core.mesh.dispatch import Dispatcher, Sender
from meshd_core.mesh.dispatch_store import DispatchStore
from meshd_core.mesh.selection import Selector, matching
from meshd_core.types import (
    Activity,
    BroadcastRequest,
    InjectRequest,
    MeshInjectRequest,
    OutputRange,
    Receipt,
    Select,
    Size,
    Slot,
)

pytestmark = pytest.mark.anyio
ME = Sender("me", {}, None)


def slot(name: str, state: Any = "idle", *, queue: int = 0, since: str = "2026", **more: Any) -> Slot:
    facts: dict[str, Any] = {
        "name": name, "node": "here", "address": f"{name}@here", "kind": "demo", "labels": {}, "status": "running",
        "activity": Activity(state, since, 1.0), "dialog": None, "pid": 1, "started_at": None, "restarts": 0,
        "exit": None, "agent_version": None, "title": "", "size": Size(40, 120), "queue": queue,
        "output": OutputRange("e-0", "e-0", 0), **more,
    }  # fmt: skip
    return Slot(**facts)


class Here:
    """This node's slots: `refusing` ones are busy after all."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str | None, str]] = []
        self.refusing: dict[str, MeshdError] = {}

    async def __call__(self, name: str, request: InjectRequest, key: str | None, receipt: str) -> Receipt:
        if name in self.refusing:
            raise self.refusing[name]
        self.taken.append((name, key, request.when))
        return Receipt(f"{receipt}@here", name, "here", "submitted", {}, None, (), None, None, False)


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture
def selector(tmp_path: Path) -> Iterator[Selector]:
    store = DispatchStore(tmp_path / "dispatches.db")
    yield Selector("here", Dispatcher(store, lambda name: pytest.fail(f"node {name} is asked")))
    store.close()


def ask(**more: Any) -> MeshInjectRequest:
    return MeshInjectRequest(text="hello", **more)


def test_all_conditions_must_hold() -> None:
    slots = [
        slot("a", labels={"team": "web", "size": "s"}), slot("b", kind="claude"), slot("c", node="there"),
        slot("d", config="removed"),
    ]  # fmt: skip
    names = lambda select: [one.name for one in matching(slots, select)]  # noqa: E731
    assert names(Select()) == ["a", "b", "c"]
    assert names(Select(kind="claude")) == ["b"]
    assert names(Select(node="there")) == ["c"]
    assert names(Select(labels={"team": "web"})) == ["a"]
    assert names(Select(labels={"team": "web", "size": "l"})) == []
    assert names(Select(kind="demo", node="there", labels={"team": "web"})) == []


async def test_the_least_recently_used_idle_slot_is_taken(selector: Selector, here: Here) -> None:
    slots = [
        slot("a", since="2026-03"),
        slot("b", since="2026-01"),
        slot("c", "busy", since="2025"),
        slot("d", queue=1),
    ]
    for _ in range(4):
        await selector.one(slots, ask(), ME, here)
    assert [name for name, _, _ in here.taken] == ["b", "a", "b", "a"]
    assert {when for _, _, when in here.taken} == {"now"}


async def test_a_slot_that_is_not_idle_any_more_is_passed_over(selector: Selector, here: Here) -> None:
    here.refusing["a"] = SlotBusy("a is busy")
    receipt = await selector.one([slot("a", since="1"), slot("b", since="2")], ask(), ME, here)
    assert receipt.slot == "b"


async def test_without_an_idle_slot_it_is_refused_or_queued_where_the_queue_is_shortest(
    selector: Selector, here: Here
) -> None:
    slots = [slot("a", "busy", queue=2), slot("b", "busy", queue=1), slot("c", "idle", status="stopped")]
    with pytest.raises(NoIdleSlot) as refused:
        await selector.one(slots, ask(), ME, here)
    assert refused.value.details == {"matching": 2}
    assert (await selector.one(slots, ask(when="idle"), ME, here)).slot == "b"
    assert here.taken[-1][2] == "idle"
    with pytest.raises(InvalidField):
        await selector.one(slots, ask(when="steer"), ME, here)


async def test_what_no_slot_would_take_is_not_tried_on_all(selector: Selector, here: Here) -> None:
    here.refusing = {"a": InvalidField("text: nothing is left to submit"), "b": SlotBusy("busy")}
    with pytest.raises(InvalidField):
        await selector.one([slot("a", since="1"), slot("b", since="2")], ask(), ME, here)


async def test_a_key_holds_for_the_same_selection(selector: Selector, here: Here) -> None:
    keyed = Sender("me", {}, "k")
    slots = [slot("a", since="1"), slot("b", since="2")]
    first = await selector.one(slots, ask(), keyed, here)
    again = await selector.one(slots, ask(), keyed, here)
    assert [name for name, key, _ in here.taken if key == "k"] == ["a", "a"]  # the slot itself knows the key
    assert (first.id, first.slot) == (again.id, again.slot)
    with pytest.raises(IdempotencyMismatch):
        await selector.one(slots, MeshInjectRequest(text="other"), keyed, here)


async def test_a_broadcast_has_a_receipt_or_a_failure_for_each_match(selector: Selector, here: Here) -> None:
    here.refusing["b"] = SlotBusy("b is busy")
    slots = [slot("a"), slot("b"), slot("c", kind="other"), slot("d")]
    request = BroadcastRequest(text="hello", select=Select(kind="demo"))
    receipts, failures = await selector.all(slots, request, ME, here)
    assert [receipt.slot for receipt in receipts] == ["a", "d"]
    assert [(failure.address, failure.code) for failure in failures] == [("b@here", "slot_busy")]


class SlowlyRefusing(Here):
    """Its slot "a" says after a while that it was busy, to the first who asks; whoever asks next is let in."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def __call__(self, name: str, request: InjectRequest, key: str | None, receipt: str) -> Receipt:
        if name == "a" and not self.asked.is_set():
            self.asked.set()
            await self.answers.wait()
            raise SlotBusy("a was busy")
        return await super().__call__(name, request, key, receipt)


async def test_requests_with_one_key_at_once_reach_one_slot(selector: Selector) -> None:
    slots, me, here = [slot("a", since="1"), slot("b", since="2")], Sender("me", {}, "k-1"), SlowlyRefusing()
    first = asyncio.create_task(selector.one(slots, ask(), me, here))
    await here.asked.wait()
    second = asyncio.create_task(selector.one(slots, ask(), me, here))
    await asyncio.sleep(0.05)
    here.answers.set()
    receipts = await asyncio.gather(first, second)
    assert receipts[0].id == receipts[1].id
    assert {name for name, _, _ in here.taken} == {"b"}  # the second asks where the first went: that slot knows the key


async def test_who_waits_too_long_for_the_same_key_is_told_so(selector: Selector) -> None:
    slots, me, here = [slot("a", since="1"), slot("b", since="2")], Sender("me", {}, "k-1"), SlowlyRefusing()
    first = asyncio.create_task(selector.one(slots, ask(), me, here))
    await here.asked.wait()
    late = await selector.one(slots, ask(timeout_s=0.05), me, here)
    assert (late.stage, late.slot) == ("in_doubt", "a")
    assert late.error is not None and "used this Idempotency-Key first" in late.error.message
    here.answers.set()
    assert (await first).slot == "b"
    assert [name for name, _, _ in here.taken] == ["b"]


async def test_a_broadcast_waits_once_for_all(selector: Selector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "AT_A_TIME", 1)
    given: list[float] = []

    async def here(name: str, request: InjectRequest, key: str | None, receipt: str) -> Receipt:
        given.append(request.timeout_s)
        await asyncio.sleep(0.06)
        return Receipt(f"{receipt}@here", name, "here", "accepted", {}, None, (), None, None, False)

    slots = [slot("a"), slot("b"), slot("c")]
    receipts, failures = await selector.all(slots, BroadcastRequest(text="hello", timeout_s=0.1), ME, here)
    assert (len(receipts), failures) == (3, [])
    assert given[1] <= given[0] - 0.05 and given[2] == 0.0
