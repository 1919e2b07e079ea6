"""A prompt's stages for people, on stderr: in one line that grows on a terminal, else one line each."""

import sys
import threading
from types import TracebackType
from typing import Self

import click

from meshd_core.cli.render import clean
from meshd_core.client import BadAnswer, MeshdClient, Unreachable
from meshd_core.errors import MeshdError
from meshd_core.types import Receipt

_POLL_S = 0.15
_JOIN_S = 1.0


class Progress:
    """Shows each stage once, in the order in which it was reached; may be called by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: list[str] = []
        self._position: int | None = None
        self._in_place = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_place and self._shown:
            click.echo(err=True)

    def show(self, receipt: Receipt) -> None:
        """Show what `receipt` has that was not shown before."""
        with self._lock:
            new = [stage for stage in receipt.stages if stage not in self._shown]
            moved = receipt.queue_position != self._position
            if not new and not moved:
                return
            self._shown += new
            self._position = receipt.queue_position
            if self._in_place:
                click.echo("\r\x1b[K" + clean(self._line()), nl=False, err=True)
            else:
                for stage in new:
                    click.echo(clean(f"{stage:<10} {receipt.stages[stage]}"), err=True)

    def _line(self) -> str:
        waiting = f" (number {self._position} in the queue)" if self._position else ""
        return " > ".join(self._shown) + waiting


class StageWatch:
    """While entered, asks for the receipt every 150 ms, in a thread with a client of its own, which it closes."""

    def __init__(self, client: MeshdClient, receipt_id: str, progress: Progress) -> None:
        self._client = client
        self._id = receipt_id
        self._progress = progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        with self._client as client:
            while not self._over.wait(_POLL_S):
                try:
                    found = client.receipt(self._id)
                except (MeshdError, Unreachable, BadAnswer):
                    continue  # only the display: the waiting request reports what is wrong
                if not self._over.is_set():
                    self._progress.show(found)
