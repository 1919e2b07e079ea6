"""A thread with an event loop of its own, where one sink's code runs.

Code of a plugin that blocks, runs wild or raises SystemExit would stop the daemon's loop, and with it every slot; here
it stops only itself. A blocked thread can't be ended, so it is a daemon thread: in the end it is left behind.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_GRACE_S = 2.0
"""How long the next call waits for one that was cancelled, before the thread counts as stuck."""

log = logging.getLogger(__name__)


class ThreadStuck(Exception):
    """An earlier call has not returned, though it was cancelled: the thread can't be used until it does."""


class PluginFault(Exception):
    """The plugin raised what only the interpreter may: SystemExit, KeyboardInterrupt, CancelledError of its own."""


class PluginThread:
    """Runs one call at a time; made and used on the daemon's event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._home = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._background_failed)
        self._outcome: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name=f"sink {name}", daemon=True).start()

    async def call(self, work: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        """What `work`, called in the thread, gives or raises.

        Raises TimeoutError after `timeout_s` (the work is cancelled), ThreadStuck while an earlier call is still in
        the thread, PluginFault for what is no Exception.
        """
        if self._outcome is not None and not self._outcome.done():
            await asyncio.wait({self._outcome}, timeout=min(timeout_s, CANCEL_GRACE_S))
            if not self._outcome.done():
                raise ThreadStuck("it blocks its thread")
        outcome: asyncio.Future[T] = self._home.create_future()
        outcome.add_done_callback(_look)
        self._outcome = outcome
        self._loop.call_soon_threadsafe(self._begin, work, outcome)
        try:
            done, _ = await asyncio.wait({outcome}, timeout=timeout_s)
        except asyncio.CancelledError:
            self._loop.call_soon_threadsafe(self._cancel)
            raise
        if not done:
            self._loop.call_soon_threadsafe(self._cancel)
            raise TimeoutError(f"it took longer than {timeout_s:g} s")
        return outcome.result()

    async def stop(self, timeout_s: float) -> bool:
        """End the thread; False: it did not end within `timeout_s` and was left behind."""
        self._stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        return self._ended.is_set()

    # -- in the thread --

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._stopping:
            try:
                self._loop.run_forever()
            except BaseException as error:  # a task of the plugin's own raised SystemExit: nobody else's end
                log.error("a sink's task failed", extra={"sink": self.name, "reason": type(error).__name__})
        try:
            # RuntimeError: the wish to stop came while the loop was not running, and ends this run instead.
            with contextlib.suppress(RuntimeError):
                self._loop.run_until_complete(self._sweep())
        finally:
            self._loop.close()
            self._tell(self._ended.set)

    async def _sweep(self) -> None:
        """Cancel what the plugin left running."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await self._loop.shutdown_asyncgens()

    def _begin(self, work: Callable[[], Awaitable[T]], outcome: "asyncio.Future[T]") -> None:
        self._task = self._loop.create_task(self._guard(work, outcome))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _guard(self, work: Callable[[], Awaitable[T]], outcome: "asyncio.Future[T]") -> None:
        try:
            result = await work()
        except Exception as error:
            self._tell(_fail, outcome, error)
        except BaseException as error:  # it must not leave the task: it would end the loop
            self._tell(_fail, outcome, PluginFault(f"it raised {type(error).__name__}"))
        else:
            self._tell(_succeed, outcome, result)

    def _tell(self, callback: Callable[..., object], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the daemon's loop has ended, and this thread was left behind
            self._home.call_soon_threadsafe(callback, *values)

    def _background_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Only the type: the message is the plugin's and may hold a secret."""
        reason = type(context.get("exception")).__name__
        log.error("a sink's task failed", extra={"sink": self.name, "reason": reason})


def _look(outcome: "asyncio.Future[Any]") -> None:
    """Read what nobody may want any more: asyncio complains about an exception that is never read."""
    if not outcome.cancelled():
        outcome.exception()


def _succeed(outcome: "asyncio.Future[Any]", result: object) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: "asyncio.Future[Any]", error: Exception) -> None:
    if not outcome.done():
        outcome.set_exception(error)
