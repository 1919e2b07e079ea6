"""An event loop whose clock jumps to the next timer: hours of a recording pass in the time that the work takes."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

from meshd_core.clock import time_from

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class NothingLeft(Exception):
    """Everything waits for something that no timer will bring."""


class _Jumping(selectors.DefaultSelector):
    """Does not wait for a timeout but lets it have passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingLeft
        self.now += max(timeout, 0.0)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """At once, in no thread: while one works, the clock would jump."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own that begins at 0 s; the times of `meshd_core.clock` go with it.

    Nothing in it may wait for what comes from outside (threads, processes). Raises NothingLeft and what `main` raises.
    """
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner, time_from(runner.get_loop().time):
        return runner.run(main)
