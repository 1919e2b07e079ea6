"""What every fleet sink must do, as tests that a sink's author inherits: docs/plugins.md, "Testing a sink"."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from meshd_core.api import (
    ExitData,
    FleetEvent,
    FleetSink,
    InjectData,
    NodeData,
    SecretRef,
    SinkConnection,
    SinkContext,
    SinkPaused,
    SinkRejected,
)
from meshd_core.clock import ulid
from meshd_core.testing.sinks import EventMaker
from meshd_core.types import ExitStatus

AWKWARD = (
    "\u202eright\u0000nul\u001b[31mred\u2028line\U0001f409 <!channel> @everyone & \"quotes\" 'and' \\back\n"
    + "x" * 9000
)
TIMEOUT_S = 60.0


class Receiver:
    """Where the sink under test delivers to, in the author's hands."""

    options: Any = None
    """An instance of the sink's options that points here."""
    secret: str = "c0nformance-s3cret-for-sinks"  # noqa: S105 - made up
    """What every SecretRef of `options` reads as; it must never be seen."""

    def ids(self) -> list[str]:
        """The ids of the events that arrived, in order, repeats included."""
        raise NotImplementedError

    def fail(self) -> None:
        """From now on it takes nothing: down, full, answering 503."""
        raise NotImplementedError

    def mend(self) -> None:
        """It takes events again."""
        raise NotImplementedError

    def wants(self, event: FleetEvent) -> bool:
        """Whether the sink, with these options, sends this event at all."""
        return True


class SinkConformance:
    """Inherit from it in a class whose name begins with `Test`, and give `sink` and `receiver`."""

    def sink(self) -> FleetSink:
        raise NotImplementedError

    def receiver(self, folder: Path) -> AbstractContextManager[Receiver]:
        """A receiver that takes events; `folder` is the test's own."""
        raise NotImplementedError

    def test_the_options_are_strict(self) -> None:
        kind = self.sink().options_type()
        if kind is not None:
            assert issubclass(kind, Struct)
            assert kind.__struct_config__.forbid_unknown_fields, "a misspelt key must be an error"

    def test_open_is_plain_and_does_not_connect(self, tmp_path: Path) -> None:
        """A receiver that is away must not keep the sink from being opened."""

        async def check(receiver: Receiver) -> None:
            receiver.fail()
            assert not inspect.iscoroutinefunction(self.sink().open)
            connection = self._open(tmp_path, receiver)
            await connection.close()

        self._run(tmp_path, check)

    def test_every_type_of_event_arrives_in_order(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            connection = self._open(tmp_path, receiver)
            events = _one_of_each(maker := EventMaker())
            await connection.send(events)
            await connection.send(more := [maker.heartbeat(), maker.dialog()])
            await connection.close()
            assert receiver.ids() == [event.id for event in (*events, *more) if receiver.wants(event)]

        self._run(tmp_path, check)

    def test_a_large_batch_arrives_in_order(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            maker = EventMaker()
            events = [maker.dialog(f"Allow number {number}?") for number in range(200)]
            connection = self._open(tmp_path, receiver)
            await connection.send(events)
            await connection.close()
            assert receiver.ids() == [event.id for event in events if receiver.wants(event)]

        self._run(tmp_path, check)

    def test_a_batch_may_come_again_with_the_same_ids(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            connection = self._open(tmp_path, receiver)
            events = _one_of_each(EventMaker())
            await connection.send(events)
            await connection.send(events)
            await connection.close()
            assert list(dict.fromkeys(receiver.ids())) == [event.id for event in events if receiver.wants(event)]

        self._run(tmp_path, check)

    def test_any_text_arrives(self, tmp_path: Path) -> None:
        """What an agent shows can hold anything; it must not block what comes after it."""

        async def check(receiver: Receiver) -> None:
            maker = EventMaker()
            events = [maker.dialog(AWKWARD), maker.dialog()]
            connection = self._open(tmp_path, receiver)
            await connection.send(events)
            await connection.close()
            assert receiver.ids() == [event.id for event in events if receiver.wants(event)]

        self._run(tmp_path, check)

    def test_a_receiver_that_is_away_is_an_exception_and_nothing_is_lost(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            connection = self._open(tmp_path, receiver)
            maker = EventMaker()
            events = [maker.dialog(f"{number}?") for number in range(5)]
            receiver.fail()
            for _ in range(2):
                with pytest.raises(Exception) as caught:  # noqa: PT011 - any exception means: not delivered
                    await connection.send(events)
                assert not isinstance(caught.value, SinkRejected | SinkPaused), "it is away, it refuses nothing"
                _shows_no(receiver.secret, caught.value)
            receiver.mend()
            await connection.send(events)
            await connection.close()
            assert list(dict.fromkeys(receiver.ids())) == [event.id for event in events if receiver.wants(event)]

        self._run(tmp_path, check)

    def test_a_send_that_is_cancelled_leaves_the_connection_usable(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            connection = self._open(tmp_path, receiver)
            events = [EventMaker().dialog()]
            sending = asyncio.ensure_future(connection.send(events))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
            await connection.send(events)
            await connection.close()
            assert set(receiver.ids()) == {event.id for event in events if receiver.wants(event)}

        self._run(tmp_path, check)

    def test_no_secret_is_shown(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            connection = self._open(tmp_path, receiver)
            await connection.send(_one_of_each(EventMaker()))
            for shown in (connection, receiver.options, vars(connection), self.sink()):
                _shows_no(receiver.secret, shown)
            await connection.close()

        self._run(tmp_path, check)

    def test_close_ends_everything_used_or_not(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            tasks, threads = asyncio.all_tasks(), threading.active_count()
            await self._open(tmp_path, receiver).close()
            connection = self._open(tmp_path, receiver)
            await connection.send(_one_of_each(EventMaker()))
            await connection.close()
            assert asyncio.all_tasks() == tasks, "close leaves no task"
            assert threading.active_count() <= threads + 1, "close leaves no thread (asyncio keeps one for files)"

        self._run(tmp_path, check)

    def test_two_instances_work_at_once(self, tmp_path: Path) -> None:
        async def check(receiver: Receiver) -> None:
            maker = EventMaker()
            first = self._open(tmp_path, receiver, "first")
            await first.send(events := [maker.dialog()])
            await first.close()
            second = self._open(tmp_path, receiver, "second")
            await second.send(more := [maker.dialog()])
            await second.close()
            assert receiver.ids() == [event.id for event in (*events, *more) if receiver.wants(event)]

        self._run(tmp_path, check)

    def _open(self, folder: Path, receiver: Receiver, name: str = "instance") -> SinkConnection:
        state = folder / name
        state.mkdir(mode=0o700, exist_ok=True)

        def read(ref: SecretRef) -> str:
            return receiver.secret

        context = SinkContext(
            name=name, node="mac1", boot_id=ulid(), options=receiver.options, state_dir=state, read_secret=read
        )
        return self.sink().open(context)

    def _run(self, folder: Path, check: Callable[[Receiver], Coroutine[Any, Any, None]]) -> None:
        with self.receiver(folder) as receiver:
            asyncio.run(asyncio.wait_for(check(receiver), TIMEOUT_S))


def _one_of_each(maker: EventMaker) -> list[FleetEvent]:
    up = NodeData(event="up", version="0.1.0", protocol="1.0", started_at="", slots=["demo"], urls=[])
    inject = InjectData(
        receipt="r@mac1", stage="failed", stages={}, queue_position=None, reply_chars=None, error=None, capped=False
    )
    end = ExitData(exit=ExitStatus(at="2026-11-25T10:00:00.000Z", code=1), pid=4711)
    return [
        maker.make(None, up), maker.state(), maker.dialog(), maker.make("demo", inject), maker.make("demo", end),
        maker.heartbeat(),
    ]  # fmt: skip


def _shows_no(secret: str, value: object) -> None:
    shown = f"{value!r} {value!s}"
    if isinstance(value, BaseException):
        shown += f"{value.__cause__!r}" + ("" if value.__suppress_context__ else f"{value.__context__!r}")
    assert secret not in shown, "a secret is shown"
