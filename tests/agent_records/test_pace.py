"""How often an agent's own records are looked at."""

import asyncio

import pytest

from meshd_core.agent_records.pace import Pace

LONG_S = 1000.0
pytestmark = pytest.mark.anyio


async def test_while_the_terminal_moves_a_look_is_due_soon() -> None:
    pace = Pace(often_s=0.001, seldom_s=LONG_S, calm_after_s=LONG_S)
    assert not pace.calm
    async with asyncio.timeout(10):
        for _ in range(3):
            await pace.wait()


async def test_in_its_silence_a_look_is_due_when_it_moves_and_now_and_then() -> None:
    pace = Pace(often_s=LONG_S, seldom_s=LONG_S, calm_after_s=0.0)
    assert pace.calm
    pace.moved()  # before the wait: it was looked at since
    waiting = asyncio.create_task(pace.wait())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    pace.moved()
    async with asyncio.timeout(10):
        await waiting
        await Pace(often_s=LONG_S, seldom_s=0.001, calm_after_s=0.0).wait()
