"""The async client behind the sync one's face, so that the same tests run with both."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from meshd_core.client import AsyncMeshdClient


class Blocking:
    """Awaits each method of an `AsyncMeshdClient`, and each event of its streams, in an event loop of its own."""

    def __init__(self, **arguments: Any) -> None:
        self._client = AsyncMeshdClient(**arguments)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return self._events(result) if inspect.isasyncgen(result) else self._runner.run(result)

        return call

    def _events(self, stream: AsyncGenerator[Any, None]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(stream)

        try:
            while True:
                try:
                    yield self._runner.run(following())
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(stream.aclose())
