"""A prompt whose typing is broken off, by whatever it is, is typed once at most."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from meshd_core.clock import now_ms
from meshd_core.contracts.kinds import Turn
from meshd_core.pty.errors import WriteClosed
from meshd_core.types import InjectRequest, Stage
from tests.slots.boxed_agent import BoxedAgent, entry, moved, queue_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("short_waits")]


@pytest.mark.parametrize(
    ("where", "stage"), [("\x15", "failed"), ("a prompt", "unknown"), ("\r", "unknown")], ids=["clear", "text", "enter"]
)
async def test_a_prompt_whose_typing_a_fault_breaks_off_is_not_typed_again(
    tmp_path: Path, where: str, stage: Stage
) -> None:
    """In doubt from its first byte on; and what may stand in the box goes before the next."""
    agent = BoxedAgent("of a person")

    def fail(written: str) -> None:
        if where in written:
            agent.after = lambda written: None
            raise RuntimeError

    agent.after = fail
    async with queue_of(agent, tmp_path) as (queue, _):
        entries = [queue.accept(InjectRequest(text=text), "p", None) for text in ("a prompt", "another")]
        receipts = [await queue.wait(one, "submitted", 20) for one in entries]
    assert (receipts[0].stage, receipts[0].error and receipts[0].error.code) == (stage, "internal")
    assert ["a prompt" in written for written in agent.written].count(True) == (where != "\x15")
    assert ("submitted" in receipts[1].stages, agent.prompts[-1]) == (True, "another")


@pytest.mark.parametrize("fault", [RuntimeError, TimeoutError])
async def test_a_fault_after_enter_leaves_the_prompt_in_doubt(tmp_path: Path, fault: type[Exception]) -> None:
    """Also a timeout, which is not that of an agent that exited."""

    async def fail(turn: Turn) -> bool | None:
        raise fault

    agent = BoxedAgent()
    agent.works = False
    async with queue_of(agent, tmp_path, finished=fail) as (queue, store):
        one = queue.accept(InjectRequest(text="a prompt"), "p", None)
        receipt = await queue.wait(one, "completed", 20)
        await asyncio.sleep(0.3)
        stored = store.get(one.id)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("unknown", "internal")
    assert agent.prompts == ["a prompt"]
    assert stored is not None and stored.draft is not None


@pytest.mark.parametrize(("went", "stage"), [(0, "failed"), (1, "unknown")])
async def test_a_terminal_that_closes_leaves_a_prompt_in_doubt_of_which_something_went(
    tmp_path: Path, went: int, stage: Stage
) -> None:
    agent = BoxedAgent()

    def close(written: str) -> None:
        raise WriteClosed("the terminal was closed", went, len(written))

    agent.after = close
    async with queue_of(agent, tmp_path) as (queue, _):
        receipt = await queue.wait(queue.accept(InjectRequest(text="a prompt"), "p", None), "completed", 20)
    assert (receipt.stage, receipt.error and receipt.error.code) == (stage, "terminal_lost")


async def test_a_disk_that_is_full_after_enter_leaves_the_prompt_in_doubt(tmp_path: Path) -> None:
    agent = BoxedAgent()
    agent.works = False
    async with queue_of(agent, tmp_path) as (queue, store):

        def fill(written: str) -> None:
            if written == "\r":
                store._db.execute("PRAGMA query_only = 1")  # it refuses every write, as a full disk does

        agent.after = fill
        receipt = await queue.wait(queue.accept(InjectRequest(text="/clear"), "p", None), "completed", 20)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("unknown", "overloaded")
    assert agent.prompts == ["/clear"]


async def test_of_all_that_an_earlier_daemon_left_half_typed_nothing_is_typed_again(tmp_path: Path) -> None:
    """More than one if the end of the first could not be recorded."""
    left = []
    for number, stages in enumerate((("writing",), ("writing", "written"), ()), 1):
        one = replace(entry(f"text {number}"), id=f"{number}@n", expires_ms=now_ms() + 60_000)
        moved(one, "accepted", *cast("tuple[Stage, ...]", stages))
        left.append(one)
    agent = BoxedAgent()
    async with queue_of(agent, tmp_path, left=left) as (_, store):
        async with asyncio.timeout(20):
            while not agent.prompts:
                await asyncio.sleep(0.02)
        found = [store.get(one.id) for one in left]
    assert agent.prompts == ["text 3"]
    assert [one and one.stage for one in found[:2]] == ["unknown", "unknown"]
