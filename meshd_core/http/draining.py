"""Waits that end with the daemon."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from meshd_core.errors import Draining

T = TypeVar("T")


async def unless_closing(closing: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """`work`, but given up when the daemon ends. Raises Draining then."""
    task = asyncio.ensure_future(work)
    ending = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Draining("the daemon is ending")
        return task.result()
    finally:
        ending.cancel()
        task.cancel()
