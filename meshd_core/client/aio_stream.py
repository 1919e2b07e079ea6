"""An event stream for asyncio; what it does about losses is `Resume`'s."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

from meshd_core.client.aio_connection import AsyncRequester, ByteStream
from meshd_core.client.answers import Unreachable, error_from
from meshd_core.client.connection import ANSWER_TIMEOUT_S
from meshd_core.client.resume import LOSSES, Resume

E = TypeVar("E")


async def events(requester: AsyncRequester, resume: Resume[E]) -> AsyncGenerator[E, None]:
    """As `stream.events`. To leave it early, close it with `aclose` (`contextlib.aclosing`)."""
    while not resume.is_over:
        try:
            async with aclosing(_connected(requester, resume)) as found:
                async for event in found:
                    yield event
            lost: Exception = resume.ended()
        except LOSSES as error:
            lost = error
        pause_s = resume.lost(lost)
        if pause_s is None:
            return
        await asyncio.sleep(pause_s)


async def _connected(requester: AsyncRequester, resume: Resume[E]) -> AsyncGenerator[E, None]:
    """The events of one connection, until it ends."""
    async with AsyncExitStack() as stack:
        stream = await _ask(stack, requester, resume)
        chunks = await stack.enter_async_context(aclosing(stream.chunks()))
        while not resume.is_over:
            try:
                async with asyncio.timeout(resume.silence_s):
                    chunk = await anext(chunks, b"")
            except TimeoutError as error:
                raise resume.silent() from error
            if not chunk:
                return
            for event in resume.events(chunk):
                yield event


async def _ask(stack: AsyncExitStack, requester: AsyncRequester, resume: Resume[E]) -> ByteStream:
    target, headers = resume.request()
    timeout_s = resume.within_deadline(ANSWER_TIMEOUT_S)
    try:
        async with asyncio.timeout(timeout_s):
            stream = await stack.enter_async_context(requester.stream(target, headers=headers, silence_s=None))
    except TimeoutError as error:
        raise Unreachable(requester.endpoint.address, f"no answer within {timeout_s:.0f} s") from error
    if stream.status >= 400:
        answer = await stream.answer()
        raise error_from(answer.status, answer.body, requester.endpoint.address)
    resume.accept(stream.status, stream.content_type)
    return stream
